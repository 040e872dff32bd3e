import { type Candidate, failureSeconds, RESEND_ATTEMPTS, waitSeconds } from "../../domain/audit/recording.ts";
import { AuditEvent } from "../../domain/protocol/api/audit-events.ts";
import { logFailure } from "./failure.ts";
import { type Recorded, recordEvents } from "./record.ts";

/**
 * Takes a batch from the queue of events into the record. A message is acknowledged when its event is recorded and its deliveries are on their way;
 * all others come again. What is no event, or one of a kind that this version does not know, ends in the dead letter queue.
 */
export async function consumeEvents(batch: MessageBatch, env: Pick<Env, "DB" | "EVENTS" | "DELIVERIES">): Promise<void> {
  const parsed = batch.messages.map((message) => ({ message, event: parseEvent(message) }));
  const candidates: Candidate[] = parsed.flatMap(({ message, event }) => (event === null ? [] : [{ event, attempts: message.attempts }]));
  const recorded = candidates.length === 0 ? null : await tryToRecord(env, candidates);
  for (const { message, event } of parsed) {
    const { attempts } = message;
    if (event === null) message.retry({ delaySeconds: failureSeconds(attempts) });
    else if (recorded === null) await retry(env.EVENTS, message);
    else if (recorded.done.has(event.id)) message.ack();
    else message.retry({ delaySeconds: recorded.waiting.has(event.id) ? waitSeconds(attempts) : 1 });
  }
}

async function tryToRecord(env: Pick<Env, "DB" | "DELIVERIES">, candidates: Candidate[]): Promise<Recorded | null> {
  try {
    return await recordEvents(env, candidates, Date.now());
  } catch (error) {
    logFailure("events_not_recorded", error, { count: candidates.length });
    return null;
  }
}

/** However long the database is away, nothing ends in the dead letter queue for it: the message is sent anew before its attempts are used up. */
async function retry(queue: Queue, message: Message): Promise<void> {
  if (message.attempts >= RESEND_ATTEMPTS) {
    try {
      await queue.send(message.body, { delaySeconds: failureSeconds(message.attempts) });
      message.ack();
      return;
    } catch (error) {
      logFailure("event_not_sent_anew", error, { message: message.id });
    }
  }
  message.retry({ delaySeconds: failureSeconds(message.attempts) });
}

function parseEvent(message: Message): AuditEvent | null {
  const { success, data, error } = AuditEvent.safeParse(message.body);
  if (success) return data;
  // Which fields are wrong, not what is in them.
  const fields = error.issues.map(({ path }) => path.join("."));
  if (message.attempts === 1) console.error(JSON.stringify({ event: "event_unreadable", message: message.id, fields }));
  return null;
}
