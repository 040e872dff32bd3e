import type { Transition } from "../../domain/broadcast/broadcast.ts";
import type { AuditEvent, AuditEventType } from "../../domain/protocol/api/audit-events.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import { RetriedTask } from "./retried-task.ts";
import type { StreamConfig } from "./storage.ts";

/** How many events a queue takes at once. */
const BATCH = 100;

/** What is not recorded so long after it happened is sent again, whatever became of the queue. */
const RESEND_MS: Millis = 120_000;

/**
 * The audit events of the stream's broadcasts on their way to the record: written down with the change that they tell of, numbered without
 * holes, sent to the queue, and deleted when the record is known to have them. A queue that is away does not touch what is live.
 */
export class Outbox {
  readonly #sql: SqlStorage;
  readonly #config: () => StreamConfig | null;
  /** Sends what waits, again and again until it is sent. */
  readonly task: RetriedTask;
  /** Rebuilt from SQLite. */
  #waiting: number;

  constructor(sql: SqlStorage, queue: Queue, config: () => StreamConfig | null) {
    this.#sql = sql;
    this.#config = config;
    sql.exec(`CREATE TABLE IF NOT EXISTS outbox (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, event TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0)`);
    this.#waiting = this.#countWaiting();
    this.task = new RetriedTask("events", { dueAt: () => (this.#waiting > 0 ? 0 : null), run: () => this.#send(queue) });
  }

  /** Writes down what a change of the broadcast's life means for the record. */
  add(transition: Transition, by: { originId: string | null; peakViewers: number }, now: Millis): void {
    const config = this.#config();
    // A stream that was deleted before its first broadcast has none that could end.
    if (config === null || transition.broadcast === 0) return;
    const { type, data } = describe(transition, by.peakViewers);
    const event: Omit<AuditEvent, "seq"> = {
      id: crypto.randomUUID(),
      account_id: config.accountId,
      stream_id: config.id,
      aggregate: `broadcast:${config.id}`,
      type,
      actor: by.originId === null ? "system" : `origin:${by.originId}`,
      request_id: null,
      occurred_at: isoTime(now),
      data: { broadcast: transition.broadcast, ...data },
    };
    this.#sql.exec("INSERT INTO outbox (at, event) VALUES (?, ?)", now, JSON.stringify(event));
    this.#waiting += 1;
  }

  /** The record has everything up to a number. What it should have by now and has not is sent again: returns whether there is any. */
  acknowledge(recorded: number, now: Millis): boolean {
    const before = now - RESEND_MS;
    this.#sql.exec("DELETE FROM outbox WHERE sent = 1 AND seq <= ? AND at <= ?", recorded, before);
    const { rowsWritten } = this.#sql.exec("UPDATE outbox SET sent = 0 WHERE sent = 1 AND seq > ? AND at <= ?", recorded, before);
    this.#waiting = this.#countWaiting();
    return rowsWritten > 0;
  }

  #countWaiting(): number {
    return this.#sql.exec<{ waiting: number }>("SELECT count(*) AS waiting FROM outbox WHERE sent = 0").one().waiting;
  }

  async #send(queue: Queue): Promise<void> {
    while (this.#waiting > 0) {
      const rows = this.#sql
        .exec<{ seq: number; event: string }>("SELECT seq, event FROM outbox WHERE sent = 0 ORDER BY seq LIMIT ?", BATCH)
        .toArray();
      await queue.sendBatch(rows.map(({ seq, event }) => ({ body: { ...JSON.parse(event), seq } satisfies AuditEvent })));
      this.#sql.exec("UPDATE outbox SET sent = 1 WHERE seq <= ?", rows.at(-1)?.seq ?? 0);
      this.#waiting = this.#countWaiting();
    }
  }
}

function describe(transition: Transition, peakViewers: number): { type: AuditEventType; data: AuditEvent["data"] } {
  switch (transition.kind) {
    case "started":
      return { type: "broadcast.started", data: {} };
    case "resumed":
      return { type: "broadcast.resumed", data: {} };
    case "reconnecting":
      return { type: "broadcast.reconnecting", data: { reason: transition.reason, deadline: isoTime(transition.deadline) } };
    case "ended": {
      const { status, reason, startedAt, endedAt } = transition;
      const duration_seconds = startedAt === null ? 0 : (endedAt - startedAt) / 1000;
      const type = status === "error" ? "broadcast.failed" : "broadcast.ended";
      return { type, data: { reason, duration_seconds, peak_viewers: peakViewers } };
    }
  }
}
