import type { AuditEventType, UnnumberedEvent } from "../../domain/protocol/api/audit-events.ts";
import { isoTime, type Millis } from "../../domain/time.ts";

/** On whose behalf something happens, and in which request. */
export interface Author {
  accountId: string;
  /** `key:{id}`, `jwt:{subject}`, `admin`, `origin:{id}` or `system`. */
  actor: string;
  requestId: string | null;
}

/** An event of a stream's settings and keys. */
export function streamEvent(
  by: Author,
  streamId: string,
  type: AuditEventType,
  data: UnnumberedEvent["data"],
  now: Millis,
): UnnumberedEvent {
  return { ...newEvent(by, type, data, now), stream_id: streamId, aggregate: `stream:${streamId}` };
}

/** An event of an account: its keys, its webhooks. */
export function accountEvent(by: Author, type: AuditEventType, data: UnnumberedEvent["data"], now: Millis): UnnumberedEvent {
  return { ...newEvent(by, type, data, now), stream_id: null, aggregate: `account:${by.accountId}` };
}

function newEvent({ accountId, actor, requestId }: Author, type: AuditEventType, data: UnnumberedEvent["data"], now: Millis) {
  return { id: crypto.randomUUID(), account_id: accountId, type, actor, request_id: requestId, occurred_at: isoTime(now), data };
}
