import { createMiddleware } from "hono/factory";
import { countFitting } from "../../domain/audit/recording.ts";
import type { AuditEvent } from "../../domain/protocol/api/audit-events.ts";
import type { Surface } from "../surface.ts";
import { logFailure } from "./failure.ts";

/** What a queue takes at once: messages, and bytes with room for what is around each. */
const BATCH = 100;
const BATCH_BYTES = 240_000;
const MESSAGE_BYTES = 120_000;
/** So many batches are sent in one go: what is left waits for the next. */
const MAX_BATCHES = 20;

/**
 * Sends what is in D1's outbox to the queue of events, in order, and then deletes it: whoever dies between sends it again, and whoever runs beside
 * sends it twice, which the consumer knows by the id. Returns how many were sent. Rejects where D1 or the queue does not answer.
 */
export async function relayOutbox(env: Pick<Env, "DB" | "EVENTS">): Promise<number> {
  let sent = 0;
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const { results } = await env.DB.prepare("SELECT position, event FROM outbox ORDER BY position LIMIT ?")
      .bind(BATCH)
      .all<{ position: number; event: string }>();
    if (results.length === 0) return sent;
    const messages = results.map(({ event }) => messageOf(event));
    const count = countFitting(
      messages.map(({ bytes }) => bytes),
      BATCH_BYTES,
    );
    await env.EVENTS.sendBatch(messages.slice(0, count).map(({ body }) => ({ body })));
    // Positions are given in the order of commits: nothing below comes later.
    const last = results[count - 1]?.position ?? 0;
    await env.DB.prepare("DELETE FROM outbox WHERE position <= ?").bind(last).run();
    sent += count;
  }
  return sent;
}

/** Sends a change's events on their way as soon as it is answered; what fails is done by the cron. */
export const relayAfterChange = createMiddleware<Surface>(async (c, next) => {
  await next();
  if (c.req.method === "GET" || c.req.method === "HEAD" || !c.res.ok) return;
  c.executionCtx.waitUntil(relayOutbox(c.env).catch((error) => logFailure("relay_failed", error)));
});

/** An event that no queue takes must not hold up all others: it goes without its data. */
function messageOf(text: string): { body: AuditEvent; bytes: number } {
  const bytes = new TextEncoder().encode(text).length;
  const body = JSON.parse(text) as AuditEvent;
  if (bytes <= MESSAGE_BYTES) return { body, bytes };
  return { body: { ...body, data: { omitted: "too large" } }, bytes: 1_000 };
}
