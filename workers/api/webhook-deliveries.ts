import { createRoute, z } from "@hono/zod-openapi";
import { NovaError } from "../../domain/errors.ts";
import { DeliveryDetail, DeliveryList, DeliveryResource, ListDeliveries, TestDelivery } from "../../domain/protocol/api/webhooks.ts";
import { isoTime, isoTimeOrNull } from "../../domain/time.ts";
import { Deliveries, type DeliveryRow } from "../store/deliveries.ts";
import { attemptDelivery } from "../webhooks/attempt.ts";
import { scheduleDelivery } from "../webhooks/deliver.ts";
import { encodeTestEvent } from "../webhooks/test-event.ts";
import { authorOf } from "./access.ts";
import { IDEMPOTENCY_REFUSALS, IdempotencyKey } from "./idempotency.ts";
import { answer, authorized, refusals } from "./operation.ts";
import {
  DeliveryParams,
  decodeDeliveryCursor,
  deliveryNotFound,
  encodeDeliveryCursor,
  findOwnDelivery,
  findOwnWebhook,
  WebhookParams,
} from "./own-webhook.ts";
import { createRouter } from "./router.ts";

const tags = ["Webhooks"];
const path = "/webhooks/{webhook_id}/deliveries";

const test = createRoute({
  ...{ method: "post", path: "/webhooks/{webhook_id}/test", tags, operationId: "testWebhook", ...authorized("streams:write") },
  summary: "Send a test",
  description:
    "Sends an event of type `webhook.test` at once, once, whichever types the webhook wants and whether it is enabled or not, and answers what came of it: up to 20 seconds later.",
  request: { params: WebhookParams, headers: z.object(IdempotencyKey) },
  responses: {
    200: answer(TestDelivery, "The delivery: `delivered`, or `dead` and why"),
    ...refusals("webhook_not_found", "invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

const list = createRoute({
  ...{ method: "get", path, tags, operationId: "listDeliveries", ...authorized("streams:read") },
  summary: "List a webhook's deliveries",
  description: "The newest first, of the last 30 days. `status=dead` is what was given up.",
  request: { params: WebhookParams, query: ListDeliveries },
  responses: { 200: answer(DeliveryList, "A page of deliveries"), ...refusals("webhook_not_found", "invalid_cursor") },
});

const get = createRoute({
  ...{ method: "get", path: `${path}/{delivery_id}`, tags, operationId: "getDelivery", ...authorized("streams:read") },
  summary: "Get a delivery",
  description: "With what it sends.",
  request: { params: DeliveryParams },
  responses: { 200: answer(DeliveryDetail, "The delivery"), ...refusals("webhook_not_found", "delivery_not_found") },
});

const redeliver = createRoute({
  ...{ method: "post", path: `${path}/{delivery_id}/redeliver`, tags, operationId: "redeliver", ...authorized("streams:write") },
  summary: "Redeliver",
  description: "Sends it again, whatever became of it, with the same body and all its attempts before it.",
  request: { params: DeliveryParams, headers: z.object(IdempotencyKey) },
  responses: {
    202: answer(DeliveryResource, "The delivery, pending again"),
    ...refusals("webhook_not_found", "delivery_not_found", "webhook_disabled", "invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

/** What is sent to a webhook, `/api/v1/webhooks/{webhook_id}/deliveries`, and tests of it. */
export const webhookDeliveries = createRouter()
  .openapi(test, async (c) => {
    const webhook = await findOwnWebhook(c);
    const now = Date.now();
    const event = encodeTestEvent(webhook.id, authorOf(c), now);
    const deliveries = new Deliveries(c.env.DB);
    const { id } = await deliveries.create({ webhookId: webhook.id, accountId: webhook.accountId, ...event }, now);
    const attempted = await attemptDelivery(c.env, id);
    const row = attempted ?? (await deliveries.find(webhook.id, id));
    if (row === null) throw deliveryNotFound();
    return c.json({ ...describeDelivery(row), took_ms: Date.now() - now }, 200);
  })
  .openapi(list, async (c) => {
    const { id } = await findOwnWebhook(c);
    const { cursor, limit, ...query } = c.req.valid("query");
    const after = cursor === undefined ? null : decodeDeliveryCursor(cursor);
    const rows = await new Deliveries(c.env.DB).list(id, { ...query, limit: limit + 1 }, after);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const next_cursor = rows.length > limit && last !== undefined ? encodeDeliveryCursor(last) : null;
    return c.json({ deliveries: page.map(describeDelivery), next_cursor }, 200);
  })
  .openapi(get, async (c) => {
    const { delivery } = await findOwnDelivery(c);
    return c.json({ ...describeDelivery(delivery), body: delivery.body }, 200);
  })
  .openapi(redeliver, async (c) => {
    const { webhook, delivery } = await findOwnDelivery(c);
    if (!webhook.enabled && delivery.eventType !== "webhook.test") {
      throw new NovaError(409, "webhook_disabled", "this webhook is disabled: enable it first");
    }
    const row = await new Deliveries(c.env.DB).renew(webhook.id, delivery.id, Date.now());
    if (row === null) throw deliveryNotFound();
    await scheduleDelivery(c.env, row);
    return c.json(describeDelivery(row), 202);
  });

function describeDelivery(row: DeliveryRow): DeliveryResource {
  const { id, webhookId, eventId, eventType, status, attempts, nextAttemptAt, lastAttemptAt, lastStatus, lastError, createdAt } = row;
  return {
    ...{ id, webhook_id: webhookId, event_id: eventId, event_type: eventType, status, attempts },
    next_attempt_at: isoTimeOrNull(nextAttemptAt),
    last_attempt_at: isoTimeOrNull(lastAttemptAt),
    ...{ last_status: lastStatus, last_error: lastError },
    created_at: isoTime(createdAt),
  };
}
