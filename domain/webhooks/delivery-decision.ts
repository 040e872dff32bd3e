import type { DeliveredEventType, DeliveryError } from "../protocol/api/webhooks.ts";
import type { Millis } from "../time.ts";
import { computeRetryDelay } from "./retry-schedule.ts";

/** What becomes of a delivery after an attempt. */
export type DeliveryDecision = { status: "delivered" } | { status: "pending"; delayMs: Millis } | { status: "dead" };

/** Faults that another attempt does not mend. */
const FINAL: readonly DeliveryError[] = ["webhook_disabled", "webhook_deleted", "interrupted"];

/**
 * What becomes of a delivery: a test is attempted once, everything else for a day.
 *
 * @param error what went wrong; null where it was delivered
 * @param attempts made so far, this one included
 * @param random from 0 to 1
 */
export function decideDelivery(
  eventType: DeliveredEventType,
  attempts: number,
  error: DeliveryError | null,
  random: number,
): DeliveryDecision {
  if (error === null) return { status: "delivered" };
  const delayMs = eventType === "webhook.test" || FINAL.includes(error) ? null : computeRetryDelay(attempts, random);
  return delayMs === null ? { status: "dead" } : { status: "pending", delayMs };
}
