import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import { Deliveries, type DeliveryCursor, type DeliveryRow } from "../store/deliveries.ts";
import { type WebhookRow, Webhooks } from "../store/webhooks.ts";
import type { ApiSurface } from "./access.ts";

const id = (what: string) =>
  z.string().meta({ description: `The ${what}'s id`, format: "uuid", example: "5f0c3f5e-0f7d-4b8a-9a53-3f0e5d3c9b11" });

/** The parameters of a route below `/webhooks/{webhook_id}`. A malformed id is one that does not exist: 404, not 400. */
export const WebhookParams = z.object({ webhook_id: id("webhook") });

/** The parameters of a route below `/webhooks/{webhook_id}/deliveries/{delivery_id}`. */
export const DeliveryParams = WebhookParams.extend({ delivery_id: id("delivery") });

/** The webhook of a route's `:webhook_id`, where it is the caller's own. Throws 404 `webhook_not_found` for others. */
export async function findOwnWebhook(c: Context<ApiSurface>): Promise<WebhookRow> {
  const row = await new Webhooks(c.env.DB).find(c.get("caller").accountId, c.req.param("webhook_id") ?? "");
  if (row === null) throw new NovaError(404, "webhook_not_found", "no such webhook: check the id");
  return row;
}

/** The delivery of a route's `:delivery_id`, of the caller's own webhook. Throws 404 `webhook_not_found` or `delivery_not_found`. */
export async function findOwnDelivery(c: Context<ApiSurface>): Promise<{ webhook: WebhookRow; delivery: DeliveryRow }> {
  const webhook = await findOwnWebhook(c);
  const delivery = await new Deliveries(c.env.DB).find(webhook.id, c.req.param("delivery_id") ?? "");
  if (delivery === null) throw deliveryNotFound();
  return { webhook, delivery };
}

/** The refusal of a delivery that the webhook has not. */
export function deliveryNotFound(): NovaError {
  return new NovaError(404, "delivery_not_found", "no such delivery of this webhook: check the id; they are kept for 30 days");
}

/** The cursor of the page after a delivery. */
export function encodeDeliveryCursor({ createdAt, id }: DeliveryRow): string {
  return `${createdAt}.${id}`;
}

/** Where a page of deliveries begins. Throws 400 `invalid_cursor`. */
export function decodeDeliveryCursor(cursor: string): DeliveryCursor {
  const [, createdAt, id] = /^(\d{1,15})\.([0-9a-f-]{36})$/.exec(cursor) ?? [];
  if (createdAt === undefined || id === undefined) {
    throw new NovaError(400, "invalid_cursor", "cursor: take it from next_cursor of the page before, with the same filter");
  }
  return { createdAt: Number(createdAt), id };
}
