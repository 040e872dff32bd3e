import { waitUntil } from "cloudflare:workers";
import { z } from "zod";
import { Deliveries, type DeliveryRow } from "../store/deliveries.ts";
import { attemptDelivery } from "./attempt.ts";

const DeliveryMessage = z.object({ delivery_id: z.string() });
/** How many deliveries the sweep puts back at once, and how many of them a queue takes in one go. */
const SWEEP = 500;
const BATCH = 100;
/** What is overdue by less is most likely on its way. */
const GRACE_MS = 15_000;
/** A queue holds nothing back for longer than this, seconds; the sweep finds the rest. */
const MAX_DELAY_SECONDS = 43_200;
const RETRY_SECONDS = 30;
/** How long a batch holds up the next one. */
const PATIENCE_MS = 1_000;

/**
 * Attempts the deliveries that a batch of the queue names, all at once. A delivery may be named twice; it is attempted once. Where receivers
 * are slow, the queue goes on meanwhile: what is claimed needs no message any more, and comes back by itself if it is not settled.
 */
export async function consumeDeliveries(batch: MessageBatch, env: Env): Promise<void> {
  const attempts = Promise.all(batch.messages.map((message) => consume(message, env)));
  waitUntil(attempts);
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(patience.resolve, PATIENCE_MS);
  await Promise.race([attempts, patience.promise]);
  clearTimeout(timer);
}

async function consume(message: Message, env: Env): Promise<void> {
  const parsed = DeliveryMessage.safeParse(message.body);
  if (!parsed.success) return log("delivery_message_unreadable", { message_id: message.id });
  const { delivery_id } = parsed.data;
  let row: DeliveryRow | null;
  try {
    row = await attemptDelivery(env, delivery_id);
  } catch (error) {
    log("delivery_failed", { delivery_id, error: textOf(error) });
    return message.retry({ delaySeconds: RETRY_SECONDS });
  }
  if (row?.status === "pending") await scheduleDelivery(env, row);
}

/** Has a pending delivery attempted when it is due. Never rejects: where the queue is away, the sweep finds it. */
export async function scheduleDelivery(env: Env, { id, nextAttemptAt }: DeliveryRow): Promise<void> {
  const delaySeconds = Math.min(Math.max(Math.ceil(((nextAttemptAt ?? 0) - Date.now()) / 1000), 0), MAX_DELAY_SECONDS);
  try {
    await env.DELIVERIES.send({ delivery_id: id }, { delaySeconds });
  } catch (error) {
    log("delivery_not_queued", { delivery_id: id, error: textOf(error) });
  }
}

/** Puts deliveries back into the queue whose time has passed: their consumer died, or the queue lost or never got them. */
export async function sweepDeliveries(env: Env, now: number): Promise<void> {
  const ids = await new Deliveries(env.DB).listDue(now - GRACE_MS, SWEEP);
  for (let first = 0; first < ids.length; first += BATCH) {
    await env.DELIVERIES.sendBatch(ids.slice(first, first + BATCH).map((delivery_id) => ({ body: { delivery_id } })));
  }
}

function log(event: string, fields: Record<string, string>): void {
  console.error(JSON.stringify({ event, ...fields }));
}

/** A query's own error names its parameters, the body among them; its cause names only what went wrong. */
function textOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}
