import { decideReplay, type Replay, type SentEvent } from "../../domain/audience/replay.ts";
import type { ResumePoint, SharedEvent, Viewers } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";

/** Events that are kept: more than two minutes of them at the usual pace. */
const SLOTS = 512;

const encoder = new TextEncoder();

/**
 * The numbered events of a stream, the newest few hundred of them in SQLite: numbering and replay go on where an eviction, a crash or a
 * deployment cut them off. One row is written for each event.
 */
export class EventLog {
  readonly #sql: SqlStorage;
  /** Oldest first, without holes. Rebuilt from SQLite. */
  #kept: SentEvent[];
  #seq: number;
  /** Of all events ever. */
  #bytes: number;

  /** @param firstSeq the number before the first event, where nothing is stored */
  constructor(sql: SqlStorage, firstSeq: number) {
    this.#sql = sql;
    sql.exec(
      "CREATE TABLE IF NOT EXISTS sent_events (slot INTEGER PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL, text TEXT NOT NULL, ends_at INTEGER NOT NULL)",
    );
    const rows = sql.exec<{ seq: number; at: number; text: string; ends_at: number }>(
      "SELECT seq, at, text, ends_at FROM sent_events ORDER BY seq",
    );
    this.#kept = [...rows].map(({ ends_at, ...event }) => ({ ...event, bytes: bytesOf(event.text), endsAt: ends_at }));
    this.#seq = this.#kept.at(-1)?.seq ?? firstSeq;
    this.#bytes = this.#kept.at(-1)?.endsAt ?? 0;
  }

  /** The number of the newest event. */
  get seq(): number {
    return this.#seq;
  }

  /** Bytes of all events ever. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The counts in the newest event that tells any; null where none is kept. */
  lastCount(): Viewers | null {
    const told = this.#kept.findLast(({ text }) => text.startsWith('{"event":"viewer_count_changed"'));
    return told === undefined ? null : JSON.parse(told.text).data.viewers;
  }

  /** The events go on after this number: what was before is not had. */
  skipTo(seq: number): void {
    if (seq === this.#seq) return;
    this.#sql.exec("DELETE FROM sent_events");
    this.#kept = [];
    this.#seq = seq;
  }

  /** Numbers an event and keeps it. */
  append(event: SharedEvent, now: Millis): SentEvent {
    const seq = this.#seq + 1;
    return this.#keep(seq, now, JSON.stringify({ ...event, seq }));
  }

  /** Keeps an event that another object has numbered: the next one. */
  mirror({ seq, at, text }: Pick<SentEvent, "seq" | "at" | "text">): SentEvent {
    this.skipTo(seq - 1);
    return this.#keep(seq, at, text);
  }

  /** What came after the event `seq`. */
  after(seq: number, now: Millis): Replay {
    return decideReplay(this.#kept, this.#seq, seq, now);
  }

  /** The bytes of all events up to and with `seq`; null where they are not known any more, or there is no such event yet. */
  bytesUpTo(seq: number): number | null {
    const event = this.#kept[seq - (this.#kept[0]?.seq ?? 0)];
    return event?.seq === seq ? event.endsAt : null;
  }

  /** Whether a client can go on from there. */
  knows(instance: string, point: ResumePoint): boolean {
    return point.instance === instance && point.seq <= this.#seq;
  }

  #keep(seq: number, at: Millis, text: string): SentEvent {
    const bytes = bytesOf(text);
    this.#bytes += bytes;
    const event: SentEvent = { seq, at, text, bytes, endsAt: this.#bytes };
    this.#kept.push(event);
    if (this.#kept.length > SLOTS) this.#kept.shift();
    this.#seq = seq;
    this.#sql.exec(
      "INSERT OR REPLACE INTO sent_events (slot, seq, at, text, ends_at) VALUES (?, ?, ?, ?, ?)",
      seq % SLOTS,
      seq,
      at,
      text,
      event.endsAt,
    );
    return event;
  }
}

function bytesOf(text: string): number {
  return encoder.encode(text).length;
}
