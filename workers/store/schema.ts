import { sql } from "drizzle-orm";
import { index, integer, real, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** Times are Unix milliseconds: drizzle's own timestamp mode would drop them. Secrets are stored as SHA-256 digests only. */
const createdAt = integer("created_at").notNull();

/** Broadcasters. */
export const accounts = sqliteTable("accounts", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  createdAt,
});

/** Keys of the API. */
export const apiKeys = sqliteTable(
  "api_keys",
  {
    id: text("id").primaryKey(),
    accountId: text("account_id")
      .notNull()
      .references(() => accounts.id),
    name: text("name").notNull(),
    digest: text("digest").notNull(),
    scopes: text("scopes", { mode: "json" }).$type<string[]>().notNull(),
    createdAt,
    lastUsedAt: integer("last_used_at"),
    revokedAt: integer("revoked_at"),
  },
  (table) => [uniqueIndex("api_keys_digest").on(table.digest), index("api_keys_account").on(table.accountId)],
);

/** Streams. From `version` on, the columns are a projection of what the stream's object knows; a stale one is ignored. */
export const streams = sqliteTable(
  "streams",
  {
    id: text("id").primaryKey(),
    accountId: text("account_id")
      .notNull()
      .references(() => accounts.id),
    title: text("title").notNull(),
    description: text("description").notNull().default(""),
    tags: text("tags", { mode: "json" }).$type<string[]>().notNull().default(sql`'[]'`),
    visibility: text("visibility", { enum: ["public", "unlisted", "signed"] }).notNull(),
    latencyMode: text("latency_mode", { enum: ["low", "standard"] }).notNull(),
    profile: text("profile", { enum: ["passthrough"] }).notNull(),
    reconnectWindowSeconds: integer("reconnect_window_seconds").notNull(),
    /** Seconds. */
    partTarget: real("part_target").notNull().default(0.5),
    dvrWindowSeconds: integer("dvr_window_seconds").notNull().default(60),
    record: integer("record", { mode: "boolean" }).notNull().default(false),
    createdAt,
    updatedAt: integer("updated_at").notNull(),
    deletedAt: integer("deleted_at"),
    version: integer("version").notNull().default(0),
    status: text("status", { enum: ["pending", "active", "reconnecting", "completed", "error"] })
      .notNull()
      .default("pending"),
    broadcast: integer("broadcast").notNull().default(0),
    viewerCount: integer("viewer_count").notNull().default(0),
    peakViewers: integer("peak_viewers").notNull().default(0),
    startedAt: integer("started_at"),
    endedAt: integer("ended_at"),
    endReason: text("end_reason"),
  },
  (table) => [
    index("streams_account_created").on(table.accountId, table.createdAt, table.id),
    index("streams_account_status").on(table.accountId, table.status, table.createdAt, table.id),
  ],
);

/** Keys that encoders publish with. */
export const streamKeys = sqliteTable(
  "stream_keys",
  {
    id: text("id").primaryKey(),
    streamId: text("stream_id")
      .notNull()
      .references(() => streams.id),
    label: text("label").notNull(),
    digest: text("digest").notNull(),
    createdAt,
    lastUsedAt: integer("last_used_at"),
    /** The origin that it was last used at. */
    lastUsedFrom: text("last_used_from"),
    revokedAt: integer("revoked_at"),
  },
  (table) => [uniqueIndex("stream_keys_digest").on(table.digest), index("stream_keys_stream").on(table.streamId)],
);

export type StreamRow = typeof streams.$inferSelect;
