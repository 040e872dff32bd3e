import type { AuditEvent } from "../protocol/api/audit-events.ts";

/** So often is an event tried before it is recorded without those that should have come before it. */
export const GAP_ATTEMPTS = 20;
/** So often may the record fail before the event is sent anew, with its attempts at zero: an outage must not use up what a gap waits for. */
export const RESEND_ATTEMPTS = 6;

/** An event as the queue brings it. */
export interface Candidate {
  event: AuditEvent;
  /** How often the queue has brought it, this time included. */
  attempts: number;
}

/** What the record has of the aggregates and events in question. */
export interface RecordState {
  /** Up to which number each aggregate is recorded; one that is not named has nothing. */
  recorded: ReadonlyMap<string, number>;
  /** Ids of those events that are recorded. */
  known: ReadonlySet<string>;
}

/** An event to record. */
export interface Recording {
  event: AuditEvent;
  /** Up to which number its aggregate must be recorded when this is written; where it is not, somebody else was faster. */
  from: number;
  /** What was unusual: numbers are missing before it, or its own was taken by another, and it got the next. */
  oddity: "gap" | "renumbered" | null;
}

/**
 * Which events are recorded now, in which order, and which wait for those before them. Within an aggregate they follow one another without
 * holes, except after long waiting: a database or an object that was restored from a backup may never bring what is missing. For the same reason
 * an event whose number is taken is not dropped: only its id makes it a duplicate.
 */
export function decideRecording(state: RecordState, candidates: readonly Candidate[]): { record: Recording[]; waiting: string[] } {
  const record: Recording[] = [];
  const waiting: string[] = [];
  const seen = new Set(state.known);
  const reached = new Map<string, number>();
  for (const { event, attempts } of inOrder(candidates)) {
    if (seen.has(event.id)) continue;
    seen.add(event.id);
    const from = state.recorded.get(event.aggregate) ?? 0;
    const next = (reached.get(event.aggregate) ?? from) + 1;
    if (event.seq > next && attempts < GAP_ATTEMPTS) {
      waiting.push(event.id);
      continue;
    }
    const seq = Math.max(event.seq, next);
    const oddity = seq > event.seq ? "renumbered" : seq > next ? "gap" : null;
    record.push({ event: { ...event, seq }, from, oddity });
    reached.set(event.aggregate, seq);
  }
  return { record, waiting };
}

/** By number within each aggregate; aggregates as they came. */
export function inOrder(candidates: readonly Candidate[]): Candidate[] {
  const byAggregate = Map.groupBy(candidates, ({ event }) => event.aggregate);
  return [...byAggregate.values()].flatMap((own) => own.sort((a, b) => a.event.seq - b.event.seq));
}

/** Seconds until an event that waits for others is tried again. */
export function waitSeconds(attempts: number): number {
  return Math.min(2 ** (attempts - 1), 15);
}

/** Seconds until an event is tried again that could not be recorded. Fewer than a later one would wait for it. */
export function failureSeconds(attempts: number): number {
  return Math.min(2 ** attempts, 30);
}

/** How many of the first items fit into `limit` bytes: at least one. */
export function countFitting(sizes: readonly number[], limit: number): number {
  let sum = 0;
  const end = sizes.findIndex((size) => {
    sum += size;
    return sum > limit;
  });
  return end === -1 ? sizes.length : Math.max(end, 1);
}
