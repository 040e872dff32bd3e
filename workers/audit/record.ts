import { type Candidate, countFitting, decideRecording, inOrder, type Recording, type RecordState } from "../../domain/audit/recording.ts";
import type { AuditEvent } from "../../domain/protocol/api/audit-events.ts";
import type { Millis } from "../../domain/time.ts";

/** What is bound to one statement: D1 takes 2 MB. */
const CHUNK_BYTES = 400_000;
/** Messages that a queue takes at once. */
const SEND = 100;

/** What became of the events of a batch, by id. Those that are neither were recorded before by somebody else, or wait no longer than a moment. */
export interface Recorded {
  /** In the record, now or before; their deliveries are with their queue. */
  done: Set<string>;
  /** Others must come before them. */
  waiting: Set<string>;
}

/** Random, as `crypto.randomUUID()`. */
const UUID = `lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
  substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))`;

const INSERT_AGGREGATES = `INSERT OR IGNORE INTO aggregates (id, issued, recorded)
  SELECT value ->> 'aggregate', 0, 0 FROM json_each(?1)`;

// Each of the next two writes only what goes on from where its aggregate is: two consumers at once do nothing twice.
const INSERT_DELIVERIES = `INSERT OR IGNORE INTO webhook_deliveries
    (id, webhook_id, account_id, event_id, event_type, body, status, attempts, next_attempt_at, created_at)
  SELECT ${UUID}, w.id, w.account_id, e.value ->> 'id', e.value ->> 'type', e.value ->> 'body', 'pending', 0, ?2, ?2
  FROM json_each(?1) AS e
  JOIN aggregates AS a ON a.id = e.value ->> 'aggregate' AND a.recorded = e.value ->> 'from'
  JOIN webhooks AS w ON w.account_id = e.value ->> 'account_id' AND w.enabled = 1 AND w.created_at <= e.value ->> 'occurred_at'
  WHERE w.event_types = '[]' OR EXISTS (SELECT 1 FROM json_each(w.event_types) AS t WHERE t.value = e.value ->> 'type')`;

const INSERT_EVENTS = `INSERT INTO events
    (id, account_id, stream_id, aggregate, seq, type, actor, request_id, occurred_at, recorded_at, data)
  SELECT e.value ->> 'id', e.value ->> 'account_id', e.value ->> 'stream_id', e.value ->> 'aggregate', e.value ->> 'seq', e.value ->> 'type',
    e.value ->> 'actor', e.value ->> 'request_id', e.value ->> 'occurred_at', ?2, e.value ->> 'data'
  FROM json_each(?1) AS e
  JOIN aggregates AS a ON a.id = e.value ->> 'aggregate' AND a.recorded = e.value ->> 'from'
  ORDER BY e.key
  RETURNING id`;

const ADVANCE = `UPDATE aggregates SET recorded = x.top
  FROM (
    SELECT value ->> 'aggregate' AS id, min(value ->> 'from') AS base, max(value ->> 'seq') AS top FROM json_each(?1) GROUP BY 1
  ) AS x
  WHERE aggregates.id = x.id AND aggregates.recorded = x.base`;

const PENDING_DELIVERIES = `SELECT d.id FROM json_each(?1) AS e
  CROSS JOIN webhooks AS w ON w.account_id = e.value ->> 'account_id'
  CROSS JOIN webhook_deliveries AS d ON d.webhook_id = w.id AND d.event_id = e.value ->> 'id'
  WHERE d.status = 'pending' AND d.attempts = 0`;

const EMPTY_OUTBOX = `DELETE FROM outbox WHERE event_id IN
  (SELECT e.id FROM json_each(?1) AS asked CROSS JOIN events AS e ON e.id = asked.value ->> 'id')`;

/**
 * Records events, each once and in the order of its aggregate, and sends their deliveries on their way. Can be repeated from anywhere: an event that
 * is recorded already only has its deliveries sent again, until the first attempt. Rejects where D1 or the queue does not answer.
 */
export async function recordEvents(env: Pick<Env, "DB" | "DELIVERIES">, candidates: readonly Candidate[], now: Millis): Promise<Recorded> {
  const result: Recorded = { done: new Set(), waiting: new Set() };
  let rest = inOrder(candidates);
  while (rest.length > 0) {
    const sizes = rest.map(({ event }) => JSON.stringify(event).length * 2);
    const chunk = rest.slice(0, countFitting(sizes, CHUNK_BYTES));
    rest = rest.slice(chunk.length);
    const state = await loadState(env.DB, chunk);
    const { record, waiting } = decideRecording(state, chunk);
    for (const id of waiting) result.waiting.add(id);
    const { recorded, deliveries } = await save(env.DB, chunk, record, now);
    await sendDeliveries(env.DELIVERIES, deliveries);
    for (const id of [...state.known, ...recorded]) result.done.add(id);
    for (const { event, oddity } of record) if (oddity !== null && recorded.includes(event.id)) logOddity(event, oddity);
  }
  return result;
}

async function loadState(db: D1Database, chunk: readonly Candidate[]): Promise<RecordState> {
  const aggregates = JSON.stringify([...new Set(chunk.map(({ event }) => event.aggregate))]);
  const ids = JSON.stringify(chunk.map(({ event }) => event.id));
  const [recorded, known] = await db.batch<{ id: string; recorded: number }>([
    db.prepare("SELECT id, recorded FROM aggregates WHERE id IN (SELECT value FROM json_each(?))").bind(aggregates),
    db.prepare("SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))").bind(ids),
  ]);
  return {
    recorded: new Map(recorded?.results.map((row) => [row.id, row.recorded])),
    known: new Set(known?.results.map((row) => row.id)),
  };
}

/** One transaction: the events, how far their aggregates are, the deliveries to webhooks; and the outbox has what is recorded no longer. */
async function save(db: D1Database, chunk: readonly Candidate[], record: readonly Recording[], now: Millis) {
  const rows = JSON.stringify(record.map(rowOf));
  const asked = JSON.stringify(chunk.map(({ event: { id, account_id } }) => ({ id, account_id })));
  const writes = [
    db.prepare(INSERT_AGGREGATES).bind(rows),
    db.prepare(INSERT_DELIVERIES).bind(rows, now),
    db.prepare(INSERT_EVENTS).bind(rows, now),
    db.prepare(ADVANCE).bind(rows),
  ];
  const results = await db.batch<{ id: string }>([
    ...(record.length > 0 ? writes : []),
    db.prepare(EMPTY_OUTBOX).bind(asked),
    db.prepare(PENDING_DELIVERIES).bind(asked),
  ]);
  const idsOf = (result: D1Result<{ id: string }> | undefined) => result?.results.map(({ id }) => id) ?? [];
  return { recorded: record.length > 0 ? idsOf(results[2]) : [], deliveries: idsOf(results.at(-1)) };
}

function rowOf({ event, from }: Recording) {
  const { data, occurred_at, ...same } = event;
  return { ...same, occurred_at: Date.parse(occurred_at), data: JSON.stringify(data), body: JSON.stringify(event), from };
}

async function sendDeliveries(queue: Queue, ids: readonly string[]): Promise<void> {
  for (let start = 0; start < ids.length; start += SEND) {
    await queue.sendBatch(ids.slice(start, start + SEND).map((delivery_id) => ({ body: { delivery_id } })));
  }
}

function logOddity({ id, aggregate, seq }: AuditEvent, oddity: "gap" | "renumbered"): void {
  console.warn(JSON.stringify({ event: `event_${oddity}`, id, aggregate, seq }));
}
