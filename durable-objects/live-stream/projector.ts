import type { StreamStatus, Viewers } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";
import type { LiveStreamStorage } from "./storage.ts";

/** How long after a failed write the next is tried. */
const RETRY_MS: Millis = 5_000;
/** A row that was read so shortly after a write may be that of before it. */
const READ_MS: Millis = 5_000;

/** A stream's live facts, exact at the time of the answer. */
export interface LiveFacts {
  status: StreamStatus;
  broadcast: number;
  viewerCount: number;
  viewers: Viewers;
  peakViewers: number;
  startedAt: Millis | null;
  endedAt: Millis | null;
  endReason: string | null;
}

/** Those of them that D1 has. */
export type ProjectedFacts = Omit<LiveFacts, "viewers">;

/** Keeps the stream's row in D1 up to date with what the object knows. Where D1 is away the live stream does not notice. */
export class Projector {
  readonly #storage: LiveStreamStorage;
  readonly #db: D1Database;
  readonly #facts: () => LiveFacts & { id: string };
  #state: { version: number; dueAt: Millis | null };
  #writing: Promise<void> | null = null;
  /** When D1 was last written, as far as this life of the object knows; Unix ms. */
  #wroteAt: Millis = 0;

  constructor(storage: LiveStreamStorage, db: D1Database, facts: () => LiveFacts & { id: string }) {
    this.#storage = storage;
    this.#db = db;
    this.#facts = facts;
    this.#state = storage.load("projection") ?? { version: 0, dueAt: null };
  }

  /** When the next write is due; null where D1 has everything or is being told. */
  get dueAt(): Millis | null {
    return this.#writing === null ? this.#state.dueAt : null;
  }

  /** Something changed that D1 shall have by `at`. */
  mark(at: Millis): void {
    const { version, dueAt } = this.#state;
    this.#keep({ version: version + 1, dueAt: Math.min(dueAt ?? at, at) });
  }

  /** Whether what D1 has is not so, and no write of ours is going to change it. */
  isFalse(row: { version: number; facts: ProjectedFacts; readAt: Millis }): boolean {
    if (row.version > this.#state.version) return true;
    if (this.#state.dueAt !== null || this.#writing !== null || row.readAt < this.#wroteAt + READ_MS) return false;
    const facts = this.#facts();
    return (Object.keys(row.facts) as (keyof ProjectedFacts)[]).some((name) => row.facts[name] !== facts[name]);
  }

  /** The next write shall win over a row of this version, and is due now. */
  overrule(version: number, now: Millis): void {
    this.#keep({ version: Math.max(version, this.#state.version) + 1, dueAt: now });
  }

  /** Writes the facts, once at a time. Never rejects: a failure is logged, and due again later. */
  write(now: Millis): Promise<void> {
    this.#writing ??= this.#write(now).finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #write(now: Millis): Promise<void> {
    const { version } = this.#state;
    const { id, ...facts } = this.#facts();
    try {
      await saveProjection(this.#db, id, version, facts);
      this.#wroteAt = Date.now();
      // What changed meanwhile has been marked with its own time.
      if (this.#state.version === version) this.#keep({ version, dueAt: null });
    } catch (error) {
      this.#keep({ ...this.#state, dueAt: now + RETRY_MS });
      console.warn(JSON.stringify({ event: "projection_failed", stream: id, error: String(error) }));
    }
  }

  #keep(state: { version: number; dueAt: Millis | null }): void {
    this.#state = state;
    this.#storage.save("projection", state);
  }
}

/** An older version than the one that D1 has changes nothing there. */
async function saveProjection(db: D1Database, id: string, version: number, facts: LiveFacts): Promise<void> {
  await db
    .prepare(
      `UPDATE streams SET version = ?2, status = ?3, broadcast = ?4, viewer_count = ?5, peak_viewers = ?6,
         started_at = ?7, ended_at = ?8, end_reason = ?9
       WHERE id = ?1 AND version < ?2`,
    )
    .bind(id, version, facts.status, facts.broadcast, facts.viewerCount, facts.peakViewers, facts.startedAt, facts.endedAt, facts.endReason)
    .run();
}
