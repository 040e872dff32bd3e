import { z } from "zod";

/** Everything that can happen to an account's things. The names are for ever: archives and webhooks hold them. */
export const AuditEventType = z
  .enum([
    "stream.created",
    "stream.updated",
    "stream.deleted",
    "stream_key.created",
    "stream_key.rotated",
    "stream_key.revoked",
    "broadcast.started",
    "broadcast.reconnecting",
    "broadcast.resumed",
    "broadcast.ended",
    "broadcast.failed",
    "account.created",
    "api_key.created",
    "api_key.rotated",
    "api_key.revoked",
    "webhook.created",
    "webhook.updated",
    "webhook.deleted",
  ])
  .meta({ id: "EventType" });
export type AuditEventType = z.infer<typeof AuditEventType>;

/** Something that happened. No key, token or secret is ever in it. */
export const AuditEvent = z
  .object({
    id: z.uuid().meta({ description: "Unique: whoever gets an event twice knows it by this" }),
    account_id: z.string(),
    /** Null for what belongs to no stream. */
    stream_id: z.string().nullable(),
    aggregate: z.string().meta({
      description:
        "What the numbers are of: `stream:{id}` for what the API changed, `broadcast:{id}` for what its encoders did, `account:{id}` for the rest",
    }),
    seq: z.number().int().positive().meta({ description: "Rises by one within the aggregate" }),
    type: AuditEventType,
    actor: z.string().meta({ description: "`key:{id}`, `jwt:{subject}`, `admin`, `origin:{id}` or `system`" }),
    request_id: z.string().nullable(),
    occurred_at: z.iso.datetime(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "Event" });
export type AuditEvent = z.infer<typeof AuditEvent>;

/** An event before its aggregate numbers it. */
export type UnnumberedEvent = Omit<AuditEvent, "seq">;
