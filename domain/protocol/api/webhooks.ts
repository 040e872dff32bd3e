import { z } from "zod";
import { AuditEventType } from "./audit-events.ts";
import { rotation } from "./key-life.ts";
import { words } from "./words.ts";

/** How many webhooks an account may have. */
export const MAX_WEBHOOKS = 20;

const timestamp = z.iso.datetime();

const settings = {
  url: z
    .url({ protocol: /^https?$/, error: "an absolute https:// URL" })
    .max(2048)
    .meta({ description: "Where events are sent by POST: `https://`, port 443 or from 1024 on, a public address. Keep secrets out of it" }),
  description: words(255),
  event_types: z
    .array(AuditEventType)
    .max(AuditEventType.options.length)
    .transform((types) => [...new Set(types)])
    .meta({ description: "Which events are sent; empty for all" }),
  enabled: z.boolean().meta({ description: "Where it is not, nothing is sent, and what happens meanwhile is not sent later" }),
};

/** The body of `POST /api/v1/webhooks`. */
export const CreateWebhook = z
  .strictObject({
    ...settings,
    description: settings.description.default(""),
    event_types: settings.event_types.default([]),
    enabled: settings.enabled.default(true),
  })
  .meta({
    id: "CreateWebhook",
    example: { url: "https://example.com/hooks/nova", event_types: ["broadcast.started", "broadcast.ended"] },
  });
export type CreateWebhook = z.output<typeof CreateWebhook>;

/** The body of `PATCH /api/v1/webhooks/{webhook_id}`: what it does not name stays. */
export const UpdateWebhook = z
  .strictObject(settings)
  .partial()
  .refine((changes) => Object.keys(changes).length > 0, "name at least one field to change")
  .meta({ id: "UpdateWebhook", example: { enabled: false } });
export type UpdateWebhook = z.output<typeof UpdateWebhook>;

/** The body of `POST /api/v1/webhooks/{webhook_id}/rotate-secret`. */
export const RotateWebhookSecret = rotation(
  "RotateWebhookSecret",
  "How long deliveries are signed with the old secret too, so that a receiver knows them by either. 0 where it has leaked",
);

const exampleWebhook = {
  id: "5f0c3f5e-0f7d-4b8a-9a53-3f0e5d3c9b11",
  url: "https://example.com/hooks/nova",
  description: "Posts to the team's chat",
  event_types: ["broadcast.started" as const, "broadcast.ended" as const],
  enabled: true,
  created_at: "2026-05-02T17:55:00.000Z",
  updated_at: "2026-05-02T17:55:00.000Z",
};
const exampleSecret = "whsec_bm90LWEtc2VjcmV0LWp1c3QtYW4tZXhhbXBsZS1vZi1vbmU";

/** A webhook as the API shows it: never its secret. */
export const WebhookResource = z
  .object({
    id: z.uuid(),
    url: z.string(),
    description: z.string(),
    event_types: z.array(AuditEventType).meta({ description: "Empty for all" }),
    enabled: z.boolean(),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "Webhook", example: exampleWebhook });
export type WebhookResource = z.infer<typeof WebhookResource>;

const secret = z.string().meta({ description: "What deliveries are signed with; shown this once" });

/** Answer of `POST /api/v1/webhooks`. */
export const CreatedWebhook = WebhookResource.extend({ secret }).meta({
  id: "CreatedWebhook",
  example: { ...exampleWebhook, secret: exampleSecret },
});

/** Answer of `POST /api/v1/webhooks/{webhook_id}/rotate-secret`. */
export const RotatedWebhook = WebhookResource.extend({
  secret,
  previous_secret_expires_at: timestamp
    .nullable()
    .meta({ description: "Until then the old secret signs along; null where it no longer does" }),
}).meta({
  id: "RotatedWebhook",
  example: { ...exampleWebhook, secret: exampleSecret, previous_secret_expires_at: "2026-05-03T17:55:00.000Z" },
});

/** Answer of `GET /api/v1/webhooks`: all of them, the newest first. */
export const WebhookList = z
  .object({ webhooks: z.array(WebhookResource) })
  .meta({ id: "WebhookList", example: { webhooks: [exampleWebhook] } });

/** Types of events that deliveries hold: whatever happens, and tests. */
export const DeliveredEventType = z.enum([...AuditEventType.options, "webhook.test"]).meta({ id: "DeliveredEventType" });
export type DeliveredEventType = z.infer<typeof DeliveredEventType>;

/** What went wrong with an attempt. */
export const DeliveryError = z
  .enum([
    "http_status",
    "redirect",
    "timeout",
    "connection_failed",
    "name_not_found",
    "lookup_failed",
    "address_not_public",
    "url_not_allowed",
    "secret_unreadable",
    "webhook_disabled",
    "webhook_deleted",
    "interrupted",
  ])
  .meta({
    id: "DeliveryError",
    description:
      "`http_status`: the answer was not 2xx. `redirect`: it was 3xx, which is not followed. `timeout`: none within 10 seconds. `name_not_found`: the host's name has no address. `lookup_failed`: its name could not be looked up. `address_not_public`: it leads into a private network. `url_not_allowed`: the URL is refused by today's rules. `secret_unreadable`: the signing secret was sealed with an `ID_SECRET` that is no more; rotate it. `interrupted`: the last attempt did not come to an end, or the delivery waited three days for its turn",
  });
export type DeliveryError = z.infer<typeof DeliveryError>;

/** What has become of a delivery. */
export const DeliveryStatus = z
  .enum(["pending", "delivered", "dead"])
  .meta({ id: "DeliveryStatus", description: "`pending`: to be attempted, or again. `dead`: given up; it can be redelivered" });

const exampleDelivery = {
  id: "c3b2f0de-7e0a-4c55-9c0e-6d4f3a2b1c0d",
  webhook_id: exampleWebhook.id,
  event_id: "9d7f8a56-3f0b-4a57-8f0a-0b8e2b6f9c3d",
  event_type: "broadcast.started" as const,
  status: "pending" as const,
  attempts: 2,
  next_attempt_at: "2026-05-02T18:00:36.400Z",
  last_attempt_at: "2026-05-02T18:00:06.400Z",
  last_status: 503,
  last_error: "http_status" as const,
  created_at: "2026-05-02T18:00:01.000Z",
};

/** A delivery as lists show it. */
export const DeliveryResource = z
  .object({
    id: z.uuid(),
    webhook_id: z.uuid(),
    event_id: z.string(),
    event_type: DeliveredEventType,
    status: DeliveryStatus,
    attempts: z.number().int().meta({ description: "Since the event happened, or since it was last asked to be redelivered" }),
    next_attempt_at: timestamp.nullable(),
    last_attempt_at: timestamp.nullable(),
    last_status: z.number().int().nullable().meta({ description: "HTTP status of the last answer; null where there was none" }),
    last_error: DeliveryError.nullable(),
    created_at: timestamp,
  })
  .meta({ id: "Delivery", example: exampleDelivery });
export type DeliveryResource = z.infer<typeof DeliveryResource>;

/** A delivery with what it sends. */
export const DeliveryDetail = DeliveryResource.extend({
  body: z.string().meta({ description: "What is sent, to the byte" }),
}).meta({
  id: "DeliveryDetail",
  example: {
    ...exampleDelivery,
    body: '{"id":"9d7f8a56-3f0b-4a57-8f0a-0b8e2b6f9c3d","account_id":"admin","stream_id":"7k2m9qx4v8n3p5r1t6w0z2bc","aggregate":"broadcast:7k2m9qx4v8n3p5r1t6w0z2bc","seq":1,"type":"broadcast.started","actor":"origin:origin-1","request_id":null,"occurred_at":"2026-05-02T18:00:00.900Z","data":{"broadcast":1}}',
  },
});

/** Answer of `POST /api/v1/webhooks/{webhook_id}/test`. */
export const TestDelivery = DeliveryResource.extend({
  took_ms: z.number().int().meta({ description: "How long the attempt took" }),
}).meta({
  id: "TestDelivery",
  example: {
    ...exampleDelivery,
    event_type: "webhook.test" as const,
    status: "delivered" as const,
    attempts: 1,
    next_attempt_at: null,
    last_status: 200,
    last_error: null,
    took_ms: 84,
  },
});

/** Query of `GET /api/v1/webhooks/{webhook_id}/deliveries`. */
export const ListDeliveries = z.strictObject({
  status: DeliveryStatus.optional(),
  limit: z.coerce.number().int().min(1).max(100).default(50),
  cursor: z.string().max(128).optional().meta({ description: "`next_cursor` of the page before, with the same filter" }),
});
export type ListDeliveries = z.output<typeof ListDeliveries>;

/** Answer of `GET /api/v1/webhooks/{webhook_id}/deliveries`: the newest first. */
export const DeliveryList = z
  .object({
    deliveries: z.array(DeliveryResource),
    next_cursor: z.string().nullable().meta({ description: "Asks for the next page; null on the last" }),
  })
  .meta({ id: "DeliveryList", example: { deliveries: [exampleDelivery], next_cursor: null } });
