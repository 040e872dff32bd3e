import { z } from "zod";
import { AuditEvent, AuditEventType } from "./audit-events.ts";

const example = {
  id: "0b9d6c9e-6a53-4b0e-9c3f-3f5d2b8a7e10",
  account_id: "acc_1",
  stream_id: "7k2m9qx4v8n3p5r1t6w0z2bc",
  aggregate: "broadcast:7k2m9qx4v8n3p5r1t6w0z2bc",
  seq: 3,
  type: "broadcast.ended" as const,
  actor: "system",
  request_id: null,
  occurred_at: "2026-11-21T18:04:11.250Z",
  data: { broadcast: 1, reason: "unpublished", duration_seconds: 3604.2, peak_viewers: 1310 },
  recorded_at: "2026-11-21T18:04:12.031Z",
  cursor: "1042",
};

/** Query of `GET /api/v1/events`. */
export const ListEvents = z.strictObject({
  stream_id: z.string().max(64).optional().meta({ description: "Only events of this stream" }),
  type: AuditEventType.optional(),
  after: z
    .string()
    .max(32)
    .optional()
    .meta({ description: "Begin after this: the `next_cursor` of the page before, or the `cursor` of any event" }),
  order: z.enum(["asc", "desc"]).default("asc").meta({ description: "`asc`: the oldest first, to follow; `desc`: the newest first" }),
  limit: z.coerce.number().int().min(1).max(100).default(50),
});
export type ListEvents = z.output<typeof ListEvents>;

/** An event in the feed. */
export const RecordedEvent = AuditEvent.extend({
  recorded_at: z.iso.datetime(),
  cursor: z.string().meta({ description: "As `after` it asks for what was recorded after this event" }),
}).meta({ id: "RecordedEvent", example });
export type RecordedEvent = z.infer<typeof RecordedEvent>;

/** Answer of `GET /api/v1/events`. */
export const EventList = z
  .object({
    events: z.array(RecordedEvent),
    next_cursor: z.string().nullable().meta({
      description: "The `after` of the next page. With `asc` it is there on the last page too: ask again with it for what comes later",
    }),
  })
  .meta({ id: "EventList", example: { events: [example], next_cursor: "1042" } });
export type EventList = z.infer<typeof EventList>;

/** Query of `GET /api/v1/events/archive`. */
export const ListArchive = z.strictObject({
  after: z.string().max(32).optional().meta({ description: "`next_cursor` of the page before" }),
  limit: z.coerce.number().int().min(1).max(50).default(20),
  verify: z.enum(["true", "false"]).default("false").meta({ description: "`true` reads the page's objects and proves every line of them" }),
});
export type ListArchive = z.output<typeof ListArchive>;

const hash = z.string().meta({ description: "SHA-256 of its last line, hex" });

/** An object of the archive. */
export const ArchiveObject = z
  .object({
    number: z.number().int().positive(),
    key: z.string().meta({ description: "In the bucket" }),
    first_position: z.number().int(),
    last_position: z.number().int(),
    count: z.number().int().meta({ description: "How many events it holds" }),
    hash,
  })
  .meta({ id: "ArchiveObject" });
export type ArchiveObject = z.infer<typeof ArchiveObject>;

/** What became of the proof of a page of the archive. */
export const ArchiveVerification = z
  .object({
    state: z.enum(["intact", "broken"]),
    events: z.number().int().meta({ description: "How many were proven" }),
    problem: z
      .object({ key: z.string(), line: z.number().int().nullable(), message: z.string() })
      .nullable()
      .meta({ description: "Where the chain breaks first, and how" }),
  })
  .meta({ id: "ArchiveVerification" });
export type ArchiveVerification = z.infer<typeof ArchiveVerification>;

/** Answer of `GET /api/v1/events/archive`. */
export const ArchiveList = z
  .object({
    objects: z.array(ArchiveObject),
    verification: ArchiveVerification.nullable().meta({ description: "Where `verify` asked for it" }),
    next_cursor: z.string().nullable(),
  })
  .meta({
    id: "ArchiveList",
    example: {
      objects: [
        {
          number: 1,
          key: "audit/events/0000000001.ndjson",
          first_position: 1,
          last_position: 1000,
          count: 1000,
          hash: "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
        },
      ],
      verification: { state: "intact", events: 1000, problem: null },
      next_cursor: null,
    },
  });
export type ArchiveList = z.infer<typeof ArchiveList>;
