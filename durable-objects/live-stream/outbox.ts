import type { Transition } from "../../domain/broadcast/broadcast.ts";
import type { AuditEvent, AuditEventType } from "../../domain/protocol/api/audit-events.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import { RetriedTask } from "./retried-task.ts";
import type { StreamConfig } from "./storage.ts";

/** How many events a queue takes at once. */
const BATCH = 100;

/** So long after it was sent an event is looked for in the record; what is not there is sent again, whatever became of the queue. */
const PROOF_MS: Millis = 120_000;

/** What the outbox needs: where events go, and where they end. */
interface OutboxEnv {
  EVENTS: Queue;
  DB: D1Database;
}

/**
 * The audit events of the stream's broadcasts on their way to the record: written down with the change that they tell of, numbered without
 * holes, sent to the queue, and deleted when the record has them. A queue or a database that is away does not touch what is live.
 */
export class Outbox {
  readonly #sql: SqlStorage;
  readonly #env: OutboxEnv;
  readonly #config: () => StreamConfig | null;
  /** Sends what waits, and sends again what has not arrived, until the record has it. */
  readonly task: RetriedTask;
  /** When the next event is to be sent, or looked for; null without any. Rebuilt from SQLite. */
  #dueAt: Millis | null;

  constructor(sql: SqlStorage, env: OutboxEnv, config: () => StreamConfig | null) {
    this.#sql = sql;
    this.#env = env;
    this.#config = config;
    sql.exec(
      "CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, due_at INTEGER NOT NULL DEFAULT 0)",
    );
    this.#dueAt = this.#loadDueAt();
    this.task = new RetriedTask("events", { dueAt: () => this.#dueAt, run: (now) => this.#send(now) });
  }

  /** Writes down what a change of the broadcast's life means for the record. */
  add(transition: Transition, by: { originId: string | null; peakViewers: number }, now: Millis): void {
    const config = this.#config();
    // A stream that was deleted before its first broadcast has none that could end. An object from before there were events learns its account
    // from the next publish, or from the reconciler.
    if (config?.accountId === undefined || transition.broadcast === 0) return;
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
    this.#dueAt = 0;
  }

  async #send(now: Millis): Promise<void> {
    for (let rows = this.#loadDue(now); rows.length > 0; rows = this.#loadDue(now)) {
      const arrived = await this.#findRecorded(rows.filter(({ due_at }) => due_at > 0).map(({ event }) => event.id));
      const missing = rows.filter(({ event }) => !arrived.has(event.id));
      if (missing.length > 0) await this.#env.EVENTS.sendBatch(missing.map(({ event }) => ({ body: event })));
      for (const { seq, event } of rows) {
        if (arrived.has(event.id)) this.#sql.exec("DELETE FROM outbox WHERE seq = ?", seq);
        else this.#sql.exec("UPDATE outbox SET due_at = ? WHERE seq = ?", now + PROOF_MS, seq);
      }
      this.#dueAt = this.#loadDueAt();
    }
  }

  #loadDue(now: Millis): { seq: number; due_at: number; event: AuditEvent }[] {
    return this.#sql
      .exec<{ seq: number; due_at: number; event: string }>(
        "SELECT seq, due_at, event FROM outbox WHERE due_at <= ? ORDER BY seq LIMIT ?",
        now,
        BATCH,
      )
      .toArray()
      .map(({ seq, due_at, event }) => ({ seq, due_at, event: { ...JSON.parse(event), seq } }));
  }

  #loadDueAt(): Millis | null {
    return this.#sql.exec<{ due_at: number | null }>("SELECT min(due_at) AS due_at FROM outbox").one().due_at;
  }

  async #findRecorded(ids: readonly string[]): Promise<Set<string>> {
    if (ids.length === 0) return new Set();
    const { results } = await this.#env.DB.prepare("SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))")
      .bind(JSON.stringify(ids))
      .all<{ id: string }>();
    return new Set(results.map(({ id }) => id));
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
