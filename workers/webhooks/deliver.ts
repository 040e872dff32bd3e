import { waitUntil } from "cloudflare:workers";
import { z } from "zod";
import type { Millis } from "../../domain/time.ts";
import type { AttemptUnderWay, Receiver, Turn } from "../../domain/webhooks/receiver.ts";
import { type Claim, Deliveries, type DeliveryRow } from "../store/deliveries.ts";
import { attemptClaim, settleClaim } from "./attempt.ts";
import { Receivers } from "./receivers.ts";

const DeliveryMessage = z.object({ delivery_id: z.string() });
/** How many deliveries the sweep puts back at once, and how many of them a queue takes in one go. */
const SWEEP = 500;
const BATCH = 100;
/** What is overdue by less is most likely on its way. */
const GRACE_MS = 15_000;
const MAX_OVERDUE_MS = 3 * 86_400_000;
/** A queue holds nothing back for longer than this, seconds; the sweep finds the rest. */
const MAX_DELAY_SECONDS = 43_200;
const RETRY_SECONDS = 30;
/** How often a delivery that is soon to have its turn looks for it before it goes back to the queue. */
const MAX_LOOKS = 3;
/** With how many attempts under way the queue is held up for a while: they share an isolate's memory. */
const MANY = 300;
const HOLD_MS = 100;
const MAX_HOLDS = 10;

const receivers = new Receivers();
let underWay = 0;

/**
 * Attempts the deliveries that a batch of the queue names, as far as their receivers can take them. The queue is held up until they are claimed, not
 * until they are answered: what is claimed needs no message any more, and comes back by itself if it is not settled.
 */
export async function consumeDeliveries(batch: MessageBatch, env: Env): Promise<void> {
  const { ended } = await beginDeliveries(batch, env);
  waitUntil(ended);
  for (let holds = 0; underWay > MANY && holds < MAX_HOLDS; holds++) await scheduler.wait(HOLD_MS);
}

/** The same, for whoever wants to know when all of it has come to an end. Never rejects. */
export async function beginDeliveries(batch: MessageBatch, env: Env): Promise<{ ended: Promise<unknown> }> {
  const named = batch.messages.flatMap((message) => {
    const parsed = DeliveryMessage.safeParse(message.body);
    if (parsed.success) return [{ message, id: parsed.data.delivery_id }];
    log("delivery_message_unreadable", { message_id: message.id });
    return [];
  });
  try {
    // Whose they are is asked first, so that what is passed over is not written to.
    const due = await new Deliveries(env.DB).listDueOf(
      named.map(({ id }) => id),
      Date.now(),
    );
    const begun = named.flatMap(({ message, id }) => {
      const webhookId = due.get(id);
      return webhookId === undefined ? [] : [takeTurn(env, id, receivers.of(webhookId), message)];
    });
    return { ended: Promise.all((await Promise.all(begun)).map(({ ended }) => ended)) };
  } catch (error) {
    log("deliveries_not_read", { error: textOf(error) });
    batch.retryAll({ delaySeconds: RETRY_SECONDS });
    return { ended: Promise.resolve() };
  }
}

/** Resolves when a delivery needs its message no more. Never rejects, nor does what is left to do then. */
async function takeTurn(env: Env, id: string, receiver: Receiver, message: Message): Promise<{ ended: Promise<void> }> {
  const turn = receiver.decideTurn(Date.now());
  if (turn.kind === "soon") return { ended: waitForTurn(env, id, receiver, turn.delayMs) };
  if (turn.kind !== "now") return { ended: putOff(env, id, turn) };
  try {
    return { ended: send(env, receiver, await claimFor(env, id, receiver)) };
  } catch (error) {
    log("delivery_failed", { delivery_id: id, error: textOf(error) });
    message.retry({ delaySeconds: RETRY_SECONDS });
    return { ended: Promise.resolve() };
  }
}

async function waitForTurn(env: Env, id: string, receiver: Receiver, delayMs: Millis): Promise<void> {
  let turn: Turn = { kind: "soon", delayMs };
  for (let looks = 0; turn.kind === "soon" && looks < MAX_LOOKS; looks++) {
    await scheduler.wait(turn.delayMs);
    turn = receiver.decideTurn(Date.now());
  }
  if (turn.kind !== "now") return putOff(env, id, turn);
  try {
    await send(env, receiver, await claimFor(env, id, receiver));
  } catch (error) {
    // It stays due, and the sweep finds it.
    log("delivery_failed", { delivery_id: id, error: textOf(error) });
  }
}

/** What is skipped stays due as well. */
async function putOff(env: Env, id: string, turn: Exclude<Turn, { kind: "now" }>): Promise<void> {
  if (turn.kind !== "skip") await scheduleDelivery(env, { id, nextAttemptAt: Date.now() + turn.delayMs });
}

interface Begun {
  claim: Claim;
  attempt: AttemptUnderWay;
}

/** Claims a delivery, its receiver's place taken before. Null where it is not to be had. Rejects where D1 does not answer. */
async function claimFor(env: Env, id: string, receiver: Receiver): Promise<Begun | null> {
  const place = receiver.begin(Date.now());
  let claim: Claim | null = null;
  try {
    claim = await new Deliveries(env.DB).claim(id, Date.now());
  } finally {
    receiver.cancel(place);
  }
  // Only what the receiver takes is laid to its account, not the database's time.
  return claim === null ? null : { claim, attempt: receiver.begin(Date.now()) };
}

async function send(env: Env, receiver: Receiver, begun: Begun | null): Promise<void> {
  if (begun === null) return;
  const { claim, attempt } = begun;
  underWay += 1;
  try {
    const outcome = await attemptClaim(env, claim).finally(() => {
      underWay -= 1;
    });
    const isAnswered = outcome.error !== "timeout" && outcome.error !== "connection_failed";
    receiver.end(attempt, Date.now(), isAnswered);
    const row = await settleClaim(env, claim, outcome);
    if (row?.status === "pending") await scheduleDelivery(env, row);
  } catch (error) {
    receiver.cancel(attempt);
    log("delivery_failed", { delivery_id: claim.delivery.id, error: textOf(error) });
  }
}

/** Has a pending delivery attempted when it is due. Never rejects: where the queue is away, the sweep finds it. */
export async function scheduleDelivery(env: Env, { id, nextAttemptAt }: Pick<DeliveryRow, "id" | "nextAttemptAt">): Promise<void> {
  const delaySeconds = Math.min(Math.max(Math.ceil(((nextAttemptAt ?? 0) - Date.now()) / 1000), 0), MAX_DELAY_SECONDS);
  try {
    await env.DELIVERIES.send({ delivery_id: id }, { delaySeconds });
  } catch (error) {
    log("delivery_not_queued", { delivery_id: id, error: textOf(error) });
  }
}

/**
 * Puts deliveries back into the queue whose time has passed: their consumer died, the queue lost or never got them, or they were passed over. What has
 * waited for days is given up: its receiver takes less than it is sent.
 */
export async function sweepDeliveries(env: Env, now: Millis): Promise<void> {
  const deliveries = new Deliveries(env.DB);
  await deliveries.giveUp(now - MAX_OVERDUE_MS, SWEEP);
  const ids = await deliveries.listDue(now - GRACE_MS, SWEEP);
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
