import { and, desc, eq, gt, isNull, or, type SQL, sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import { MAX_STREAM_KEYS } from "../../domain/protocol/api/stream-keys.ts";
import { isoTime, isoTimeOrNull, type Millis } from "../../domain/time.ts";
import { type Author, streamEvent } from "../audit/new-event.ts";
import { outboxStatements } from "../audit/outbox.ts";
import { type StreamRow, streamKeys, streams } from "./schema.ts";
import type { NewKey } from "./streams.ts";

export type StreamKeyRow = typeof streamKeys.$inferSelect;

/** Keys that encoders publish with, in D1: their digests only. Every method rejects where D1 does not answer. */
export class StreamKeys {
  readonly #db: DrizzleD1Database;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** Adds a key to a stream. Null where it has as many valid ones as it may, or is deleted. */
  async add(streamId: string, key: NewKey & { expiresAt: Millis | null }, by: Author, now: Millis): Promise<StreamKeyRow | null> {
    const id = crypto.randomUUID();
    const { label, prefix } = key;
    const data = { key_id: id, label, prefix, expires_at: isoTimeOrNull(key.expiresAt) };
    const isOpen = sql`EXISTS (SELECT 1 FROM ${streams} WHERE ${streams.id} = ${streamId} AND ${streams.deletedAt} IS NULL)`;
    const [rows] = await this.#db.batch([
      this.#db
        .insert(streamKeys)
        .select(sql`${columns(id, streamId, key, now)} WHERE ${isOpen} AND ${this.#hasRoom(streamId, now)}`)
        .returning(),
      ...outboxStatements(this.#db, streamEvent(by, streamId, "stream_key.created", data, now)),
    ]);
    return rows[0] ?? null;
  }

  /**
   * Puts a new key in the place of one that is valid and has no successor yet; the old one opens connections until `overlapUntil` at most.
   * Null where it is not such a key any more, or there is no room for another valid one.
   */
  async rotate(old: StreamKeyRow, key: NewKey, overlapUntil: Millis, by: Author, now: Millis): Promise<StreamKeyRow | null> {
    const { streamId } = old;
    const id = crypto.randomUUID();
    const oldExpiresAt = Math.min(old.expiresAt ?? overlapUntil, overlapUntil);
    const data = { key_id: id, label: key.label, prefix: key.prefix, replaces: old.id, old_expires_at: isoTime(oldExpiresAt) };
    const mayRotate = and(eq(streamKeys.id, old.id), isNull(streamKeys.replacedBy), isValid(now));
    const isThere = sql`EXISTS (SELECT 1 FROM ${streamKeys} WHERE ${mayRotate})`;
    // The old one is not counted where it ends at once.
    const hasRoom = this.#hasRoom(streamId, now, oldExpiresAt <= now ? old.id : "");
    const [rows] = await this.#db.batch([
      this.#db
        .insert(streamKeys)
        .select(sql`${columns(id, streamId, { ...key, expiresAt: null }, now)} WHERE ${isThere} AND ${hasRoom}`)
        .returning(),
      ...outboxStatements(this.#db, streamEvent(by, streamId, "stream_key.rotated", data, now)),
      this.#db
        .update(streamKeys)
        .set({ expiresAt: oldExpiresAt, replacedBy: id })
        .where(and(eq(streamKeys.id, old.id), sql`EXISTS (SELECT 1 FROM ${streamKeys} AS made WHERE made.id = ${id})`)),
    ]);
    return rows[0] ?? null;
  }

  /** Revokes a key. Returns whether it was not revoked before. */
  async revoke(key: StreamKeyRow, by: Author, now: Millis): Promise<boolean> {
    const { id, streamId, label, prefix } = key;
    const [rows] = await this.#db.batch([
      this.#db
        .update(streamKeys)
        .set({ revokedAt: now })
        .where(and(eq(streamKeys.id, id), isNull(streamKeys.revokedAt)))
        .returning({ id: streamKeys.id }),
      ...outboxStatements(this.#db, streamEvent(by, streamId, "stream_key.revoked", { key_id: id, label, prefix }, now)),
    ]);
    return rows.length > 0;
  }

  /** A stream's keys, the newest first, revoked ones too. */
  list(streamId: string): Promise<StreamKeyRow[]> {
    return this.#db
      .select()
      .from(streamKeys)
      .where(eq(streamKeys.streamId, streamId))
      .orderBy(desc(streamKeys.createdAt), desc(streamKeys.id));
  }

  /** One of a stream's keys; null where it has none of that id. */
  async find(streamId: string, id: string): Promise<StreamKeyRow | null> {
    const rows = await this.#db
      .select()
      .from(streamKeys)
      .where(and(eq(streamKeys.id, id), eq(streamKeys.streamId, streamId)));
    return rows[0] ?? null;
  }

  /** The stream that a key opens, with what became of both; null for an unknown key. */
  async findByDigest(digest: string): Promise<{ stream: StreamRow; key: StreamKeyRow } | null> {
    const rows = await this.#db
      .select({ stream: streams, key: streamKeys })
      .from(streamKeys)
      .innerJoin(streams, eq(streams.id, streamKeys.streamId))
      .where(eq(streamKeys.digest, digest));
    return rows[0] ?? null;
  }

  /** Notes when a key was last used, by the encoder at which address, at which origin. */
  async noteUse(id: string, from: { address: string | null; origin: string }, now: Millis): Promise<void> {
    await this.#db
      .update(streamKeys)
      .set({ lastUsedAt: now, lastUsedFrom: from.address, lastUsedOrigin: from.origin })
      .where(eq(streamKeys.id, id));
  }

  #hasRoom(streamId: string, now: Millis, except = ""): SQL {
    const others = and(eq(streamKeys.streamId, streamId), isValid(now), sql`${streamKeys.id} <> ${except}`);
    return sql`(SELECT count(*) FROM ${streamKeys} WHERE ${others}) < ${MAX_STREAM_KEYS}`;
  }
}

function isValid(now: Millis): SQL | undefined {
  return and(isNull(streamKeys.revokedAt), or(isNull(streamKeys.expiresAt), gt(streamKeys.expiresAt, now)));
}

/** The row of a new key, in the order of the table's columns. */
function columns(
  id: string,
  streamId: string,
  { label, prefix, digest, expiresAt }: NewKey & { expiresAt: Millis | null },
  now: Millis,
): SQL {
  return sql`SELECT ${id}, ${streamId}, ${label}, ${prefix}, ${digest}, ${now}, ${expiresAt}, NULL, NULL, NULL, NULL, NULL`;
}
