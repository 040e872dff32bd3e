import { sql } from "drizzle-orm";
import { index, integer, primaryKey, real, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { ProfileName } from "../../domain/profiles.ts";
import type { Scope } from "../../domain/protocol/api/access.ts";
import type { AuditEvent, AuditEventType } from "../../domain/protocol/api/audit-events.ts";
import type { DeliveredEventType, DeliveryError } from "../../domain/protocol/api/webhooks.ts";

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
    /** Its first characters, to know it by. */
    prefix: text("prefix").notNull().default(""),
    digest: text("digest").notNull(),
    scopes: text("scopes", { mode: "json" }).$type<Scope[]>().notNull(),
    createdAt,
    expiresAt: integer("expires_at"),
    lastUsedAt: integer("last_used_at"),
    revokedAt: integer("revoked_at"),
    /** The key that it was rotated into: once only. */
    replacedBy: text("replaced_by"),
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
    profile: text("profile").$type<ProfileName>().notNull(),
    reconnectWindowSeconds: integer("reconnect_window_seconds").notNull(),
    /** Seconds. */
    partTarget: real("part_target").notNull().default(0.5),
    dvrWindowSeconds: integer("dvr_window_seconds").notNull().default(60),
    record: integer("record", { mode: "boolean" }).notNull().default(false),
    createdAt,
    updatedAt: integer("updated_at").notNull(),
    /** Rises by one with each change of what the broadcaster sets. */
    revision: integer("revision").notNull().default(1),
    deletedAt: integer("deleted_at"),
    /** When the row was last held against the stream's object. */
    reconciledAt: integer("reconciled_at").notNull().default(0),
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
    index("streams_account_viewers").on(table.accountId, table.viewerCount, table.id),
    index("streams_reconciled").on(table.reconciledAt),
    index("streams_status").on(table.status, table.reconciledAt),
  ],
);

/** The tags of streams that are not deleted, to find streams by. */
export const streamTags = sqliteTable(
  "stream_tags",
  {
    accountId: text("account_id").notNull(),
    tag: text("tag").notNull(),
    /** The stream's: lists come out of the key in their order. */
    createdAt,
    streamId: text("stream_id")
      .notNull()
      .references(() => streams.id),
  },
  (table) => [
    primaryKey({ columns: [table.accountId, table.tag, table.createdAt, table.streamId] }),
    index("stream_tags_stream").on(table.streamId),
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
    /** Its first characters, to know it by. */
    prefix: text("prefix").notNull().default(""),
    digest: text("digest").notNull(),
    createdAt,
    /** From then on it opens nothing new. */
    expiresAt: integer("expires_at"),
    lastUsedAt: integer("last_used_at"),
    /** The address of the encoder that last used it. */
    lastUsedFrom: text("last_used_from"),
    /** The origin that it was last used at. */
    lastUsedOrigin: text("last_used_origin"),
    revokedAt: integer("revoked_at"),
    /** The key that it was rotated into: once only. */
    replacedBy: text("replaced_by"),
  },
  (table) => [uniqueIndex("stream_keys_digest").on(table.digest), index("stream_keys_stream").on(table.streamId)],
);

/** Events on their way to the record: written with the change that they tell of, and deleted with being recorded. */
export const outbox = sqliteTable(
  "outbox",
  {
    position: integer("position").primaryKey({ autoIncrement: true }),
    eventId: text("event_id").notNull(),
    event: text("event", { mode: "json" }).$type<AuditEvent>().notNull(),
    createdAt,
    /** When the queue last got it; 0 where it has not. */
    sentAt: integer("sent_at").notNull().default(0),
  },
  (table) => [uniqueIndex("outbox_event").on(table.eventId), index("outbox_sent").on(table.sentAt, table.position)],
);

/** How far the events of an aggregate have got: how many the database itself has issued, and up to which all are recorded. */
export const aggregates = sqliteTable("aggregates", {
  id: text("id").primaryKey(),
  issued: integer("issued").notNull().default(0),
  recorded: integer("recorded").notNull().default(0),
});

/** Everything that happened, for good: in the order of its aggregate within each, `position` over all. */
export const events = sqliteTable(
  "events",
  {
    position: integer("position").primaryKey({ autoIncrement: true }),
    id: text("id").notNull(),
    accountId: text("account_id").notNull(),
    streamId: text("stream_id"),
    aggregate: text("aggregate").notNull(),
    seq: integer("seq").notNull(),
    type: text("type").notNull(),
    actor: text("actor").notNull(),
    requestId: text("request_id"),
    occurredAt: integer("occurred_at").notNull(),
    recordedAt: integer("recorded_at").notNull(),
    data: text("data", { mode: "json" }).$type<AuditEvent["data"]>().notNull(),
  },
  (table) => [
    uniqueIndex("events_id").on(table.id),
    uniqueIndex("events_aggregate").on(table.aggregate, table.seq),
    index("events_account").on(table.accountId, table.position),
    index("events_stream").on(table.streamId, table.position),
    index("events_account_type").on(table.accountId, table.type, table.position),
    index("events_recorded").on(table.recordedAt),
  ],
);

/** The objects of the archive in R2, in their order: each goes on from the hash that the one before ended with. */
export const archiveObjects = sqliteTable("archive_objects", {
  number: integer("number").primaryKey(),
  key: text("key").notNull(),
  firstPosition: integer("first_position").notNull(),
  lastPosition: integer("last_position").notNull(),
  /** Of its last line, hex. */
  hash: text("hash").notNull(),
  createdAt,
});

/** Where broadcasters want events to be sent. */
export const webhooks = sqliteTable(
  "webhooks",
  {
    id: text("id").primaryKey(),
    accountId: text("account_id")
      .notNull()
      .references(() => accounts.id),
    url: text("url").notNull(),
    description: text("description").notNull().default(""),
    /** Empty for all. */
    eventTypes: text("event_types", { mode: "json" }).$type<AuditEventType[]>().notNull(),
    /** The signing secret, encrypted. */
    secret: text("secret").notNull(),
    enabled: integer("enabled", { mode: "boolean" }).notNull().default(true),
    revision: integer("revision").notNull().default(1),
    createdAt,
    updatedAt: integer("updated_at").notNull(),
  },
  (table) => [index("webhooks_account").on(table.accountId, table.createdAt, table.id)],
);

/** Events on their way to webhooks, and what became of them. */
export const webhookDeliveries = sqliteTable(
  "webhook_deliveries",
  {
    id: text("id").primaryKey(),
    webhookId: text("webhook_id").notNull(),
    accountId: text("account_id").notNull(),
    eventId: text("event_id").notNull(),
    eventType: text("event_type").$type<DeliveredEventType>().notNull(),
    /** What is sent: JSON. */
    body: text("body").notNull(),
    status: text("status", { enum: ["pending", "delivered", "dead"] })
      .notNull()
      .default("pending"),
    attempts: integer("attempts").notNull().default(0),
    /** When the next attempt is due; null where there is none. */
    nextAttemptAt: integer("next_attempt_at"),
    lastAttemptAt: integer("last_attempt_at"),
    /** HTTP status of the last answer; null where there was none. */
    lastStatus: integer("last_status"),
    lastError: text("last_error").$type<DeliveryError>(),
    createdAt,
  },
  (table) => [
    uniqueIndex("webhook_deliveries_event").on(table.webhookId, table.eventId),
    index("webhook_deliveries_webhook").on(table.webhookId, table.createdAt, table.id),
    index("webhook_deliveries_status").on(table.webhookId, table.status, table.createdAt, table.id),
    index("webhook_deliveries_due").on(table.status, table.nextAttemptAt),
    index("webhook_deliveries_created").on(table.createdAt),
  ],
);

/** Requests that must not be carried out twice, and what they were answered. */
export const idempotencyKeys = sqliteTable(
  "idempotency_keys",
  {
    accountId: text("account_id").notNull(),
    /** Of the key that the client chose. */
    digest: text("digest").notNull(),
    /** Of method, path and body: another request with the same key is refused. */
    requestDigest: text("request_digest").notNull(),
    /** HTTP status of the answer; null while there is none. */
    status: integer("status"),
    /** The answer, encrypted: it may hold a key that is shown once. */
    answer: text("answer"),
    createdAt,
  },
  (table) => [primaryKey({ columns: [table.accountId, table.digest] }), index("idempotency_keys_created").on(table.createdAt)],
);

export type StreamRow = typeof streams.$inferSelect;
