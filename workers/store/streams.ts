import { and, asc, type Column, desc, eq, exists, isNull, ne, or, type SQL, sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { CreateStream, ListStreams, StreamSort, UpdateStream, Visibility } from "../../domain/protocol/api/streams.ts";
import type { Millis } from "../../domain/time.ts";
import { type Author, streamEvent } from "../audit/new-event.ts";
import { outboxStatements } from "../audit/outbox.ts";
import { type StreamRow, streamKeys, streams, streamTags } from "./schema.ts";

/** A stream key as it is kept. */
export interface NewKey {
  label: string;
  prefix: string;
  digest: string;
}

/** Where a page of a list begins: after the row with this value of the column that the list is sorted by. */
export interface StreamCursor {
  value: number;
  id: string;
}

/** The column that a list is sorted by. */
export function sortColumn(sort: StreamSort): "createdAt" | "viewerCount" {
  return sort.endsWith("viewer_count") ? "viewerCount" : "createdAt";
}

/** Streams in D1. Each change and the event that tells of it are written together or not at all. Every method rejects where D1 does not answer. */
export class Streams {
  readonly #db: DrizzleD1Database;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** Inserts a stream with its first key. */
  async create(stream: CreateStream & { id: string }, key: NewKey, by: Author, now: Millis): Promise<StreamRow> {
    const { id } = stream;
    const { tags, ...told } = stream;
    const insert = this.#db
      .insert(streams)
      .values({ ...columnsOf(stream), ...{ id, accountId: by.accountId, createdAt: now, updatedAt: now } } as typeof streams.$inferInsert)
      .returning();
    const [rows] = await this.#db.batch([
      insert,
      ...outboxStatements(this.#db, streamEvent(by, id, "stream.created", { ...told, tags }, now)),
      this.#db.insert(streamKeys).values({ id: crypto.randomUUID(), streamId: id, ...key, createdAt: now }),
      this.#tag(id),
    ]);
    return rows[0] as StreamRow;
  }

  /**
   * Changes what is named, where the stream still has the revision, or whatever it has where that is null. Null where it has not, or is not there or
   * deleted. The `updated_at` is the broadcaster's own: what the object projects does not touch it.
   */
  async update(id: string, revision: number | null, changes: UpdateStream, by: Author, now: Millis): Promise<StreamRow | null> {
    const conditions = [eq(streams.id, id), eq(streams.accountId, by.accountId), isNull(streams.deletedAt)];
    const update = this.#db
      .update(streams)
      .set({ ...columnsOf(changes), revision: sql`${streams.revision} + 1`, updatedAt: now })
      .where(and(...conditions, revision === null ? undefined : eq(streams.revision, revision)))
      .returning();
    const told = outboxStatements(this.#db, streamEvent(by, id, "stream.updated", { changes }, now));
    const retag = changes.tags === undefined ? [] : [this.#db.delete(streamTags).where(eq(streamTags.streamId, id)), this.#tag(id)];
    const [rows] = await this.#db.batch([update, ...told, ...retag]);
    return rows[0] ?? null;
  }

  /** Marks a stream as deleted and revokes its keys. Returns whether it was not deleted before. */
  async delete(id: string, by: Author, now: Millis): Promise<boolean> {
    const mark = this.#db
      .update(streams)
      .set({ deletedAt: now, updatedAt: now })
      .where(and(eq(streams.id, id), eq(streams.accountId, by.accountId), isNull(streams.deletedAt)))
      .returning({ id: streams.id });
    const revoke = this.#db
      .update(streamKeys)
      .set({ revokedAt: now })
      .where(and(eq(streamKeys.streamId, id), isNull(streamKeys.revokedAt)));
    const told = outboxStatements(this.#db, streamEvent(by, id, "stream.deleted", {}, now));
    const [rows] = await this.#db.batch([mark, ...told, revoke, this.#db.delete(streamTags).where(eq(streamTags.streamId, id))]);
    return rows.length > 0;
  }

  /** A stream of this account, deleted ones too; null where there is none. */
  async find(accountId: string, id: string): Promise<StreamRow | null> {
    const rows = await this.#db
      .select()
      .from(streams)
      .where(and(eq(streams.id, id), eq(streams.accountId, accountId)));
    return rows[0] ?? null;
  }

  /** An account's streams that are not deleted, `limit` of them after the one that `after` names. */
  async list(accountId: string, query: Omit<ListStreams, "cursor">, after: StreamCursor | null): Promise<StreamRow[]> {
    const isDown = query.sort.startsWith("-");
    const isByAge = sortColumn(query.sort) === "createdAt";
    const conditions: (SQL | undefined)[] = [eq(streams.accountId, accountId), isNull(streams.deletedAt)];
    if (query.status !== undefined) conditions.push(eq(streams.status, query.status));
    if (query.q !== undefined) {
      // Not LIKE: D1 takes no pattern of more than 50 bytes.
      const contains = (column: Column) => sql`instr(lower(${column}), lower(${query.q})) > 0`;
      conditions.push(or(contains(streams.title), contains(streams.description)));
    }
    const isTagged = and(eq(streamTags.accountId, accountId), eq(streamTags.tag, query.tag ?? ""), eq(streamTags.streamId, streams.id));
    // By age, those with a tag come out of the tag's own index in their order, however rare it is.
    const isFromTags = query.tag !== undefined && isByAge;
    if (query.tag !== undefined) conditions.push(isFromTags ? isTagged : exists(this.#db.select().from(streamTags).where(isTagged)));
    const column = isFromTags ? streamTags.createdAt : streams[sortColumn(query.sort)];
    const id = isFromTags ? streamTags.streamId : streams.id;
    if (after !== null) conditions.push(sql`(${column}, ${id}) ${sql.raw(isDown ? "<" : ">")} (${after.value}, ${after.id})`);
    const direction = isDown ? desc : asc;
    const { limit } = query;
    const where = and(...conditions);
    const order = [direction(column), direction(id)];
    if (!isFromTags) {
      return this.#db
        .select()
        .from(streams)
        .where(where)
        .orderBy(...order)
        .limit(limit);
    }
    const rows = await this.#db
      .select({ stream: streams })
      .from(streamTags)
      .crossJoin(streams)
      .where(where)
      .orderBy(...order)
      .limit(limit);
    return rows.map(({ stream }) => stream);
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

  /** Writes down the tags that a stream's row has. */
  #tag(id: string) {
    const { accountId, createdAt, tags, deletedAt } = streams;
    const rows = sql`SELECT ${accountId}, value, ${createdAt}, ${streams.id} FROM ${streams}, json_each(${tags})
                     WHERE ${streams.id} = ${id} AND ${isNull(deletedAt)}`;
    return this.#db.insert(streamTags).select(rows).onConflictDoNothing();
  }
}

/** The columns of what a broadcaster sets; those that are not named are left out. */
function columnsOf(settings: UpdateStream): Partial<typeof streams.$inferInsert> {
  const columns = {
    title: settings.title,
    description: settings.description,
    tags: settings.tags,
    visibility: settings.visibility,
    latencyMode: settings.latency_mode,
    partTarget: settings.part_target,
    dvrWindowSeconds: settings.dvr_window_seconds,
    record: settings.record,
    profile: settings.profile,
    reconnectWindowSeconds: settings.reconnect_window_seconds,
  };
  return Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined));
}
