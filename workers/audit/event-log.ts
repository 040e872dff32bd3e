import type { ArchivedEvent } from "../../domain/audit/archive.ts";
import type { ListEvents, RecordedEvent } from "../../domain/protocol/api/event-feed.ts";
import { isoTime, type Millis } from "../../domain/time.ts";

/** A recorded event as D1 has it. */
interface EventRow {
  position: number;
  id: string;
  account_id: string;
  stream_id: string | null;
  aggregate: string;
  seq: number;
  type: RecordedEvent["type"];
  actor: string;
  request_id: string | null;
  occurred_at: Millis;
  recorded_at: Millis;
  data: string;
}

/**
 * An account's events after a position, or before it where the newest come first. Recording is one transaction after the other, so nothing ever
 * appears behind a position that was read.
 */
export async function listEvents(
  db: D1Database,
  accountId: string,
  query: Omit<ListEvents, "after">,
  after: number | null,
): Promise<RecordedEvent[]> {
  const { sql, parameters } = feedQuery(accountId, query, after);
  const { results } = await db
    .prepare(sql)
    .bind(...parameters)
    .all<EventRow>();
  return results.map((row) => {
    const { position, ...event } = readRow(row);
    return { ...event, cursor: String(position) };
  });
}

/** The statement behind `listEvents`. */
export function feedQuery(accountId: string, query: Omit<ListEvents, "after">, after: number | null) {
  const { stream_id, type, order, limit } = query;
  // A stream has fewer events than its account has of a type: the `+` leaves its index the only one.
  const own = stream_id === undefined ? "" : "+";
  const conditions: [string, unknown][] = [[`${own}account_id = ?`, accountId]];
  if (stream_id !== undefined) conditions.push(["stream_id = ?", stream_id]);
  if (type !== undefined) conditions.push([`${own}type = ?`, type]);
  if (after !== null) conditions.push([`position ${order === "asc" ? ">" : "<"} ?`, after]);
  const where = conditions.map(([condition]) => condition).join(" AND ");
  const sql = `SELECT * FROM events WHERE ${where} ORDER BY position ${order === "asc" ? "ASC" : "DESC"} LIMIT ?`;
  return { sql, parameters: [...conditions.map(([, value]) => value), limit] };
}

/** Events of all accounts after a position, in order, with when the first of them was recorded. */
export async function loadEvents(db: D1Database, after: number, limit: number): Promise<ArchivedEvent[]> {
  const { results } = await db
    .prepare("SELECT * FROM events WHERE position > ? ORDER BY position LIMIT ?")
    .bind(after, limit)
    .all<EventRow>();
  return results.map(readRow);
}

function readRow(row: EventRow): ArchivedEvent {
  const { id, account_id, stream_id, aggregate, seq, type, actor, request_id, position } = row;
  const event = { id, account_id, stream_id, aggregate, seq, type, actor, request_id };
  const { occurred_at, recorded_at } = row;
  return { ...event, occurred_at: isoTime(occurred_at), data: JSON.parse(row.data), position, recorded_at: isoTime(recorded_at) };
}
