import type { Transition } from "../../domain/broadcast/broadcast.ts";
import type { AuditEvent, AuditEventType } from "../../domain/protocol/api/audit-events.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import { RetriedTask } from "./retried-task.ts";
import type { StreamConfig } from "./storage.ts";

/** How many events a queue takes at once. */
const BATCH = 100;

/**
 * The audit events of the stream's broadcasts on their way to the queue: written down with the change that they tell of, numbered without
 * holes, and deleted when the queue has them. A queue that is away does not touch what is live.
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
    sql.exec("CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL)");
    this.#waiting = sql.exec<{ waiting: number }>("SELECT count(*) AS waiting FROM outbox").one().waiting;
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
    this.#sql.exec("INSERT INTO outbox (event) VALUES (?)", JSON.stringify(event));
    this.#waiting += 1;
  }

  async #send(queue: Queue): Promise<void> {
    while (this.#waiting > 0) {
      const rows = this.#sql.exec<{ seq: number; event: string }>("SELECT seq, event FROM outbox ORDER BY seq LIMIT ?", BATCH).toArray();
      await queue.sendBatch(rows.map(({ seq, event }) => ({ body: { ...JSON.parse(event), seq } satisfies AuditEvent })));
      this.#sql.exec("DELETE FROM outbox WHERE seq <= ?", rows.at(-1)?.seq ?? 0);
      this.#waiting -= rows.length;
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
