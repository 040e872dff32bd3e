import type { DeliveryError } from "../../domain/protocol/api/webhooks.ts";
import { decideDelivery } from "../../domain/webhooks/delivery-decision.ts";
import { MAX_ATTEMPTS } from "../../domain/webhooks/retry-schedule.ts";
import { type Claim, Deliveries, type DeliveryRow } from "../store/deliveries.ts";
import { signDelivery, unsealSecrets } from "./signing.ts";
import { findTargetRefusal } from "./target.ts";

const TIMEOUT_MS = 10_000;

/** How an attempt went: `status` is that of the answer, `error` null where it was delivered. */
interface Outcome {
  status: number | null;
  error: DeliveryError | null;
}

/**
 * Attempts a delivery that is due, and writes down what became of it. Null where it is not due: delivered, given up, not yet time, or in
 * somebody else's hands. Rejects where D1 does not answer; what was claimed by then is due again a minute later.
 */
export async function attemptDelivery(env: Env, id: string): Promise<DeliveryRow | null> {
  const claim = await new Deliveries(env.DB).claim(id, Date.now());
  return claim === null ? null : settleClaim(env, claim, await attemptClaim(env, claim));
}

/** Writes down what became of a claim, and when it is tried again. Null where somebody else has it by now. Rejects where D1 does not answer. */
export function settleClaim(env: Env, claim: Claim, { status, error }: Outcome): Promise<DeliveryRow | null> {
  const { eventType, attempts } = claim.delivery;
  const decision = decideDelivery(eventType, attempts, error, Math.random());
  const nextAttemptAt = decision.status === "pending" ? Date.now() + decision.delayMs : null;
  const result = { status: decision.status, nextAttemptAt, lastStatus: status, lastError: error };
  return new Deliveries(env.DB).settle(claim, result);
}

/** Sends what a claim is for, where it may go. */
export async function attemptClaim(env: Env, { delivery, webhook }: Claim): Promise<Outcome> {
  if (webhook === null) return failed("webhook_deleted");
  // A test tells whether it would work, before anything is sent in earnest.
  if (!webhook.enabled && delivery.eventType !== "webhook.test") return failed("webhook_disabled");
  if (delivery.attempts > MAX_ATTEMPTS) return failed("interrupted");
  const secrets = await unsealSecrets(env, webhook.id, webhook.secret);
  if (secrets === null) return failed("secret_unreadable");
  const refusal = await findTargetRefusal(env, webhook.url);
  if (refusal !== null) return failed(refusal.error);
  const { id, eventId, eventType, body } = delivery;
  return post(webhook.url, body, {
    "Content-Type": "application/json",
    "User-Agent": "NovaEdge-Webhooks/1",
    "Nova-Event-Id": eventId,
    "Nova-Event-Type": eventType,
    "Nova-Delivery-Id": id,
    "Nova-Signature": await signDelivery(secrets, body, Date.now()),
  });
}

/** One request. Where it leads to is not followed, and what is answered is not read. */
async function post(url: string, body: string, headers: Record<string, string>): Promise<Outcome> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const answer = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
    const { status, ok } = answer;
    await answer.body?.cancel();
    if (ok) return { status, error: null };
    return { status, error: status >= 300 && status < 400 ? "redirect" : "http_status" };
  } catch {
    return failed(signal.aborted ? "timeout" : "connection_failed");
  }
}

function failed(error: DeliveryError): Outcome {
  return { status: null, error };
}
