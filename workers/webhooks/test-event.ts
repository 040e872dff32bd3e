import type { AuditEvent } from "../../domain/protocol/api/audit-events.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import type { Author } from "../audit/new-event.ts";

/** An event to try a webhook with. It has the form of any other, and is in no record. */
export function encodeTestEvent(webhookId: string, by: Author, now: Millis) {
  const eventId = crypto.randomUUID();
  const event = {
    ...{ id: eventId, account_id: by.accountId, stream_id: null },
    ...{ aggregate: `webhook:${webhookId}`, seq: 1, type: "webhook.test", actor: by.actor, request_id: by.requestId },
    ...{ occurred_at: isoTime(now), data: { webhook_id: webhookId } },
  } satisfies Record<keyof AuditEvent, unknown>;
  return { eventId, eventType: "webhook.test", body: JSON.stringify(event) } as const;
}
