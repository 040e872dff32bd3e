import { and, eq, gt, isNull, lt, or, type SQL, sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { Scope } from "../../domain/protocol/api/access.ts";
import { MAX_API_KEYS } from "../../domain/protocol/api/accounts.ts";
import { isoTimeOrNull, type Millis } from "../../domain/time.ts";
import { type Author, accountEvent } from "../audit/new-event.ts";
import { outboxStatements } from "../audit/outbox.ts";
import { apiKeys } from "./schema.ts";

export type ApiKeyRow = typeof apiKeys.$inferSelect;

/** An API key as it is kept. */
export interface NewApiKey {
  name: string;
  scopes: readonly Scope[];
  prefix: string;
  digest: string;
  expiresAt: Millis | null;
}

const MINUTE_MS: Millis = 60_000;

/** Keys of the API, in D1: of each its digest only. Every method rejects where D1 does not answer. */
export class ApiKeys {
  readonly #db: DrizzleD1Database;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** Adds a key to the author's account. Null where it has as many valid ones as it may. */
  async add(key: NewApiKey, by: Author, now: Millis): Promise<ApiKeyRow | null> {
    const id = crypto.randomUUID();
    const room = sql`${this.#countValid(by.accountId, now)} < ${MAX_API_KEYS}`;
    const [rows] = await this.#db.batch([
      this.#db
        .insert(apiKeys)
        .select(sql`${columns(id, by.accountId, key, now)} WHERE ${room}`)
        .returning(),
      ...outboxStatements(this.#db, accountEvent(by, "api_key.created", factsOf(id, key), now)),
    ]);
    return rows[0] ?? null;
  }

  /**
   * Puts a new key in the place of one that is valid and has no successor yet; the old one is valid until `overlapUntil` at most. Null where
   * it is not such a key any more, or there is no room for another valid one.
   */
  async rotate(old: ApiKeyRow, key: NewApiKey, overlapUntil: Millis, by: Author, now: Millis): Promise<ApiKeyRow | null> {
    const id = crypto.randomUUID();
    const oldExpiresAt = Math.min(old.expiresAt ?? overlapUntil, overlapUntil);
    const data = { ...factsOf(id, key), replaces: old.id, old_expires_at: isoTimeOrNull(oldExpiresAt) };
    // The old one is not counted where it ends at once.
    const others = sql`${this.#countValid(by.accountId, now, oldExpiresAt <= now ? old.id : "")} < ${MAX_API_KEYS}`;
    const mayRotate = and(eq(apiKeys.id, old.id), isNull(apiKeys.replacedBy), isValid(now));
    const isThere = sql`EXISTS (SELECT 1 FROM ${apiKeys} WHERE ${mayRotate})`;
    const [rows] = await this.#db.batch([
      this.#db
        .insert(apiKeys)
        .select(sql`${columns(id, by.accountId, key, now)} WHERE ${isThere} AND ${others}`)
        .returning(),
      ...outboxStatements(this.#db, accountEvent(by, "api_key.rotated", data, now)),
      this.#db
        .update(apiKeys)
        .set({ expiresAt: oldExpiresAt, replacedBy: id })
        .where(and(eq(apiKeys.id, old.id), sql`EXISTS (SELECT 1 FROM ${apiKeys} AS made WHERE made.id = ${id})`)),
    ]);
    return rows[0] ?? null;
  }

  /** Revokes a key. Returns whether it was not revoked before. */
  async revoke(key: ApiKeyRow, by: Author, now: Millis): Promise<boolean> {
    const { id, name, prefix } = key;
    const [rows] = await this.#db.batch([
      this.#db
        .update(apiKeys)
        .set({ revokedAt: now })
        .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt)))
        .returning({ id: apiKeys.id }),
      ...outboxStatements(this.#db, accountEvent(by, "api_key.revoked", { key_id: id, name, prefix }, now)),
    ]);
    return rows.length > 0;
  }

  /** An account's keys, the newest first, those too that are not valid any more: the ones made before the one at `before`. */
  async list(accountId: string, before: number, limit: number): Promise<(ApiKeyRow & { position: number })[]> {
    const rows = await this.#db
      .select({ row: apiKeys, position: sql<number>`rowid` })
      .from(apiKeys)
      .where(and(eq(apiKeys.accountId, accountId), sql`rowid < ${before}`))
      .orderBy(sql`rowid DESC`)
      .limit(limit);
    return rows.map(({ row, position }) => ({ ...row, position }));
  }

  /** One of an account's keys; null where it has none of that id. */
  async find(accountId: string, id: string): Promise<ApiKeyRow | null> {
    const rows = await this.#db
      .select()
      .from(apiKeys)
      .where(and(eq(apiKeys.id, id), eq(apiKeys.accountId, accountId)));
    return rows[0] ?? null;
  }

  /** A key that is valid; null for any other. */
  async findValid(digest: string, now: Millis): Promise<ApiKeyRow | null> {
    const rows = await this.#db
      .select()
      .from(apiKeys)
      .where(and(eq(apiKeys.digest, digest), isValid(now)));
    return rows[0] ?? null;
  }

  /** Notes that a key is used, once a minute. */
  async noteUse({ id, lastUsedAt }: ApiKeyRow, now: Millis): Promise<void> {
    if (lastUsedAt !== null && lastUsedAt > now - MINUTE_MS) return;
    const isDue = or(isNull(apiKeys.lastUsedAt), lt(apiKeys.lastUsedAt, now - MINUTE_MS));
    await this.#db
      .update(apiKeys)
      .set({ lastUsedAt: now })
      .where(and(eq(apiKeys.id, id), isDue));
  }

  #countValid(accountId: string, now: Millis, except = ""): SQL {
    const conditions = and(eq(apiKeys.accountId, accountId), isValid(now), sql`${apiKeys.id} <> ${except}`);
    return sql`(SELECT count(*) FROM ${apiKeys} WHERE ${conditions})`;
  }
}

function isValid(now: Millis): SQL | undefined {
  return and(isNull(apiKeys.revokedAt), or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now)));
}

/** The row of a new key, in the order of the table's columns. */
function columns(id: string, accountId: string, key: NewApiKey, now: Millis): SQL {
  const { name, prefix, digest, scopes, expiresAt } = key;
  return sql`SELECT ${id}, ${accountId}, ${name}, ${prefix}, ${digest}, ${JSON.stringify(scopes)}, ${now}, ${expiresAt}, NULL, NULL, NULL`;
}

function factsOf(id: string, { name, prefix, scopes, expiresAt }: NewApiKey) {
  return { key_id: id, name, prefix, scopes, expires_at: isoTimeOrNull(expiresAt) };
}
