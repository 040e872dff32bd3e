import { createMiddleware } from "hono/factory";
import { countFitting } from "../../domain/audit/recording.ts";
import type { AuditEvent } from "../../domain/protocol/api/audit-events.ts";
import type { Millis } from "../../domain/time.ts";
import type { Surface } from "../surface.ts";
import { logFailure } from "./failure.ts";

/** What a queue takes at once: messages, and bytes with room for what is around each. */
const BATCH = 100;
const BATCH_BYTES = 240_000;
const MESSAGE_BYTES = 120_000;
/** So many batches are sent in one go: what is left waits for the next. */
const MAX_BATCHES = 20;
/** What is not recorded so long after it was sent is sent again: whatever became of the queue, the event is still here. */
const RESEND_MS: Millis = 120_000;

/**
 * Sends what is in D1's outbox to the queue of events, in order, and notes that it did: whoever dies between sends it again, and whoever runs beside
 * sends it twice, which the consumer knows by the id. The consumer deletes what it has recorded. Returns how many were sent. Rejects where D1 or the
 * queue does not answer.
 */
export async function relayOutbox(env: Pick<Env, "DB" | "EVENTS">, now: Millis): Promise<number> {
  let sent = 0;
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const { results } = await env.DB.prepare("SELECT position, event FROM outbox WHERE sent_at <= ? ORDER BY sent_at, position LIMIT ?")
      .bind(now - RESEND_MS, BATCH)
      .all<{ position: number; event: string }>();
    if (results.length === 0) return sent;
    const messages = results.map(({ event }) => messageOf(event));
    const count = countFitting(
      messages.map(({ bytes }) => bytes),
      BATCH_BYTES,
    );
    await env.EVENTS.sendBatch(messages.slice(0, count).map(({ body }) => ({ body })));
    const sentPositions = JSON.stringify(results.slice(0, count).map(({ position }) => position));
    await env.DB.prepare("UPDATE outbox SET sent_at = ? WHERE position IN (SELECT value FROM json_each(?))").bind(now, sentPositions).run();
    sent += count;
  }
  return sent;
}

/** Sends a change's events on their way as soon as it is answered; what fails is done by the cron. */
export const relayAfterChange = createMiddleware<Surface>(async (c, next) => {
  await next();
  if (c.req.method === "GET" || c.req.method === "HEAD" || !c.res.ok) return;
  c.executionCtx.waitUntil(relayOutbox(c.env, Date.now()).catch((error) => logFailure("relay_failed", error)));
});

/** An event that no queue takes must not hold up all others: it goes without its data. */
function messageOf(text: string): { body: AuditEvent; bytes: number } {
  const bytes = new TextEncoder().encode(text).length;
  const body = JSON.parse(text) as AuditEvent;
  if (bytes <= MESSAGE_BYTES) return { body, bytes };
  return { body: { ...body, data: { omitted: "too large" } }, bytes: 1_000 };
}
