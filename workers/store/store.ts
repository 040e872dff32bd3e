import { and, desc, eq, isNull, lt, ne, or } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { CreateStream, Visibility } from "../../domain/protocol/api.ts";
import type { StreamStatus } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";
import { accounts, apiKeys, type StreamRow, streamKeys, streams } from "./schema.ts";

/** Streams, keys and accounts in D1. Every method rejects where D1 does not answer. */
export class Store {
  readonly #db: ReturnType<typeof drizzle>;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** Inserts a stream with its first key, both or neither. */
  async createStream(stream: CreateStream & { id: string; accountId: string }, keyDigest: string, now: Millis): Promise<StreamRow> {
    const insert = this.#db
      .insert(streams)
      .values({
        id: stream.id,
        accountId: stream.accountId,
        title: stream.title,
        description: stream.description,
        tags: stream.tags,
        visibility: stream.visibility,
        latencyMode: stream.latency_mode,
        profile: stream.profile,
        reconnectWindowSeconds: stream.reconnect_window_seconds,
        partTarget: stream.part_target,
        dvrWindowSeconds: stream.dvr_window_seconds,
        record: stream.record,
        createdAt: now,
        updatedAt: now,
      })
      .returning();
    const key = { id: crypto.randomUUID(), streamId: stream.id, label: "default", digest: keyDigest, createdAt: now };
    const [rows] = await this.#db.batch([insert, this.#db.insert(streamKeys).values(key)]);
    return rows[0] as StreamRow;
  }

  /** A stream of this account, deleted ones too; null where there is none. */
  async findStream(accountId: string, id: string): Promise<StreamRow | null> {
    const rows = await this.#db
      .select()
      .from(streams)
      .where(and(eq(streams.id, id), eq(streams.accountId, accountId)));
    return rows[0] ?? null;
  }

  /** An account's streams, newest first, `limit` of them after the row that `before` names. */
  async listStreams(
    accountId: string,
    filter: { status?: StreamStatus | undefined; before: { createdAt: Millis; id: string } | null; limit: number },
  ): Promise<StreamRow[]> {
    const { before } = filter;
    return this.#db
      .select()
      .from(streams)
      .where(
        and(
          eq(streams.accountId, accountId),
          isNull(streams.deletedAt),
          filter.status === undefined ? undefined : eq(streams.status, filter.status),
          before === null
            ? undefined
            : or(lt(streams.createdAt, before.createdAt), and(eq(streams.createdAt, before.createdAt), lt(streams.id, before.id))),
        ),
      )
      .orderBy(desc(streams.createdAt), desc(streams.id))
      .limit(filter.limit);
  }

  /** Marks a stream as deleted and revokes its keys. */
  async deleteStream(id: string, now: Millis): Promise<void> {
    await this.#db.batch([
      this.#db.update(streams).set({ deletedAt: now, updatedAt: now }).where(eq(streams.id, id)),
      this.#db
        .update(streamKeys)
        .set({ revokedAt: now })
        .where(and(eq(streamKeys.streamId, id), isNull(streamKeys.revokedAt))),
    ]);
  }

  /** The stream that a key opens, with what became of both; null for an unknown key. */
  async findByStreamKey(digest: string): Promise<{ stream: StreamRow; keyId: string; revokedAt: Millis | null } | null> {
    const rows = await this.#db
      .select({ stream: streams, keyId: streamKeys.id, revokedAt: streamKeys.revokedAt })
      .from(streamKeys)
      .innerJoin(streams, eq(streams.id, streamKeys.streamId))
      .where(eq(streamKeys.digest, digest));
    return rows[0] ?? null;
  }

  /** Notes when and from which origin a key was last used. */
  async noteKeyUse(keyId: string, from: string, now: Millis): Promise<void> {
    await this.#db.update(streamKeys).set({ lastUsedAt: now, lastUsedFrom: from }).where(eq(streamKeys.id, keyId));
  }

  /** The account of an API key that is not revoked; null for any other. */
  async findAccountByApiKey(digest: string): Promise<{ accountId: string; scopes: string[] } | null> {
    const rows = await this.#db
      .select({ accountId: accounts.id, scopes: apiKeys.scopes })
      .from(apiKeys)
      .innerJoin(accounts, eq(accounts.id, apiKeys.accountId))
      .where(and(eq(apiKeys.digest, digest), isNull(apiKeys.revokedAt)));
    return rows[0] ?? null;
  }

  /** What a stream's public page says of it; null for a stream that is not there, or that plays with a token only. */
  async findPublicFacts(id: string): Promise<{ title: string; description: string } | null> {
    const rows = await this.#db
      .select({ title: streams.title, description: streams.description })
      .from(streams)
      .where(and(eq(streams.id, id), ne(streams.visibility, "signed")));
    return rows[0] ?? null;
  }

  /** Who may play a stream, and since when nobody; null for one that is not there. */
  async findVisibility(id: string): Promise<{ visibility: Visibility; deletedAt: Millis | null } | null> {
    const { visibility, deletedAt } = streams;
    const rows = await this.#db.select({ visibility, deletedAt }).from(streams).where(eq(streams.id, id));
    return rows[0] ?? null;
  }
}
