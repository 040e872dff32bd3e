import type { Millis } from "../../domain/time.ts";

/** How long sessions are kept. */
const KEPT_MS: Millis = 30 * 86_400_000;
/** Those of an hour are deleted at once. */
const PURGE_BATCH_MS: Millis = 3_600_000;
/** Ids are the time of joining, with room for so many in a millisecond. */
const IDS_PER_MS = 1_000;

/** What a player has said of itself so far. */
export interface PlaybackTotals {
  /** The one that it plays now, or played last. */
  rendition: string | null;
  stalls: number;
  switches: number;
}

/** A viewer's stay, from its first socket to its last. Nothing in it says where the viewer is but the country. */
export interface SessionRow extends PlaybackTotals {
  /** Rises with the time of joining, within an object. */
  id: number;
  viewer: string;
  device: string;
  country: string | null;
  /** Unix ms; null while it lasts. */
  leftAt: Millis | null;
}

/** A session that goes on. */
export type LastingSession = Pick<SessionRow, "id" | "viewer" | "device" | "country">;

/** When a session began, Unix ms. */
export function joinedAt(id: number): Millis {
  return Math.floor(id / IDS_PER_MS);
}

/** The viewer sessions of an object, in its SQLite: one row write to join, one to leave. There is no index, as each would be another write. */
export class Sessions {
  readonly #sql: SqlStorage;
  #lastId: number;
  #oldest: number | null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(
      `CREATE TABLE IF NOT EXISTS sessions (id INTEGER PRIMARY KEY, viewer TEXT NOT NULL, device TEXT NOT NULL, country TEXT,
         left_at INTEGER, rendition TEXT, stalls INTEGER NOT NULL DEFAULT 0, switches INTEGER NOT NULL DEFAULT 0)`,
    );
    // Both ends of the primary key: two rows read.
    this.#lastId = sql.exec<{ id: number | null }>("SELECT max(id) AS id FROM sessions").one().id ?? 0;
    this.#oldest = sql.exec<{ id: number | null }>("SELECT min(id) AS id FROM sessions").one().id;
  }

  /** The newest session's id, 0 before the first. */
  get lastId(): number {
    return this.#lastId;
  }

  /** A viewer has come. Returns the session's id. */
  open(viewer: string, device: string, country: string | null, now: Millis): number {
    const id = Math.max(now * IDS_PER_MS, this.#lastId + 1);
    this.#sql.exec("INSERT INTO sessions (id, viewer, device, country) VALUES (?, ?, ?, ?)", id, viewer, device, country);
    this.#lastId = id;
    this.#oldest ??= id;
    return id;
  }

  /** The viewer has left. */
  close(id: number, { rendition, stalls, switches }: PlaybackTotals, now: Millis): void {
    const leftAt = Math.max(now, joinedAt(id));
    this.#sql.exec(
      "UPDATE sessions SET left_at = ?, rendition = ?, stalls = ?, switches = ? WHERE id = ? AND left_at IS NULL",
      leftAt,
      rendition,
      stalls,
      switches,
      id,
    );
  }

  /** Sessions that last, none of them older than the id `from`. */
  lasting(from: number): LastingSession[] {
    const columns = "id, viewer, device, country";
    return this.#sql
      .exec<Record<keyof LastingSession, SqlStorageValue>>(`SELECT ${columns} FROM sessions WHERE id >= ? AND left_at IS NULL`, from)
      .toArray() as unknown as LastingSession[];
  }

  /** Sessions up to and with the id `to`, the newest first. */
  page(to: number, limit: number): SessionRow[] {
    const columns = "id, viewer, device, country, left_at AS leftAt, rendition, stalls, switches";
    return this.#sql
      .exec<Record<keyof SessionRow, SqlStorageValue>>(`SELECT ${columns} FROM sessions WHERE id <= ? ORDER BY id DESC LIMIT ?`, to, limit)
      .toArray() as unknown as SessionRow[];
  }

  /** When the oldest are to be deleted; null where there are none. */
  nextPurgeAt(): Millis | null {
    return this.#oldest === null ? null : joinedAt(this.#oldest) + KEPT_MS + PURGE_BATCH_MS;
  }

  /** Deletes what is older than 30 days. */
  purge(now: Millis): void {
    this.#sql.exec("DELETE FROM sessions WHERE id < ?", (now - KEPT_MS) * IDS_PER_MS);
    this.#oldest = this.#sql.exec<{ id: number | null }>("SELECT min(id) AS id FROM sessions").one().id;
  }
}
