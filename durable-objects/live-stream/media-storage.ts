import { concatBytes } from "../../domain/bytes.ts";
import type { Track, TracksReason } from "../../domain/protocol/origin-link.ts";
import type { PackedSegment } from "../../domain/timeline/archive.ts";
import type { PartPush } from "../../domain/timeline/rendition-timeline.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import type { TimelineSnapshot } from "../../domain/timeline/timeline.ts";

/** What a broadcast declared with its first connection, and the settings that hold for it to its end. */
export interface BroadcastTracks {
  targetDuration: number;
  /** Those of the latest connection. */
  tracks: Track[];
  tracksOfEpochs: Record<number, Track[]>;
  /** Why the latest connection sends what it sends; null for the first. */
  reason: TracksReason | null;
  /** `PART-TARGET` of every rendition that the broadcast has had (PL1). */
  partTargets: Record<string, number>;
  /** Parts are listed: not in `standard` latency. */
  parts: boolean;
  dvrWindowSeconds: number;
  record: boolean;
}

/** The facts of a broadcast that are single values, each a row. */
interface MediaFacts {
  tracks: BroadcastTracks;
  timeline: TimelineSnapshot;
  /** Epochs that ended with segments open, still to be settled. */
  unsettled: number[];
  /** Where the archive's listed part begins, and how many seconds lie between that and the tail. */
  archive: { firstMsn: number; seconds: number };
  /** What has left the window, and when (Unix ms): deleted a while later. Segments before `swept` are gone. */
  sweep: { swept: number; left: { msn: number; at: number }[] };
  /** When the broadcast ended, Unix ms. */
  endedAt: number;
  /** Its recording is whole. */
  recorded: boolean;
}

/** What is known of an init segment. */
export interface InitRow {
  epoch: number;
  rendition: string;
  digest: string;
  /** Ticks a second of its track; null where its bytes could not be read. */
  timescale: number | null;
}

/** A row of at most 2 MB is a limit of the platform; larger parts take several. */
const CHUNK_BYTES = 1_900_000;

/** Creates the tables of media; a broadcast's number is part of every key. */
export function createMediaTables(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS media_facts (broadcast INTEGER, name TEXT, value TEXT NOT NULL, PRIMARY KEY (broadcast, name)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS media_inits (
      broadcast INTEGER, epoch INTEGER, rendition TEXT, digest TEXT NOT NULL, timescale INTEGER, PRIMARY KEY (broadcast, epoch, rendition)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS media_segments (
      broadcast INTEGER, rendition TEXT, msn INTEGER, value TEXT NOT NULL, PRIMARY KEY (broadcast, rendition, msn)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS media_archive (
      broadcast INTEGER, rendition TEXT, page INTEGER, value TEXT NOT NULL, PRIMARY KEY (broadcast, rendition, page)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS media_chunks (
      id INTEGER PRIMARY KEY, broadcast INTEGER NOT NULL, rendition TEXT NOT NULL, msn INTEGER NOT NULL, part INTEGER NOT NULL,
      chunk INTEGER NOT NULL, value TEXT, bytes BLOB NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS media_chunks_at ON media_chunks (broadcast, rendition, msn, part, chunk);
  `);
  moveParts(sql);
}

/** Parts were once kept in a table without row ids, where each comparison on the way to a row reads the bytes of the row beside it. */
function moveParts(sql: SqlStorage): void {
  if (sql.exec("SELECT name FROM sqlite_master WHERE name = 'media_parts'").toArray().length === 0) return;
  sql.exec(`
    INSERT OR REPLACE INTO media_chunks (broadcast, rendition, msn, part, chunk, value, bytes)
      SELECT broadcast, rendition, msn, part, chunk, value, bytes FROM media_parts;
    DROP TABLE media_parts;
  `);
}

/** The broadcasts whose media is kept, in order. */
export function loadBroadcastNumbers(sql: SqlStorage): number[] {
  const rows = sql.exec<{ broadcast: number }>("SELECT broadcast FROM media_facts WHERE name = 'tracks' ORDER BY broadcast").toArray();
  return rows.map((row) => row.broadcast);
}

/**
 * One broadcast's rows in the object's SQLite. A part's bytes are a row beside its facts, so that what was acknowledged is never
 * lost; they go when R2 has had the segment for a while.
 */
export class MediaStorage {
  readonly #sql: SqlStorage;
  readonly #broadcast: number;
  /** What was loaded or saved, so that asking costs nothing. */
  readonly #facts = new Map<keyof MediaFacts, unknown>();

  constructor(sql: SqlStorage, broadcast: number) {
    this.#sql = sql;
    this.#broadcast = broadcast;
  }

  load<Name extends keyof MediaFacts>(name: Name): MediaFacts[Name] | null {
    if (!this.#facts.has(name)) {
      const query = "SELECT value FROM media_facts WHERE broadcast = ? AND name = ?";
      const row = this.#sql.exec<{ value: string }>(query, this.#broadcast, name).toArray()[0];
      this.#facts.set(name, row === undefined ? null : JSON.parse(row.value));
    }
    return this.#facts.get(name) as MediaFacts[Name] | null;
  }

  save<Name extends keyof MediaFacts>(name: Name, value: MediaFacts[Name]): void {
    const query = "INSERT OR REPLACE INTO media_facts (broadcast, name, value) VALUES (?, ?, ?)";
    this.#sql.exec(query, this.#broadcast, name, JSON.stringify(value));
    this.#facts.set(name, value);
  }

  /** Forgets the broadcast. */
  clear(): void {
    this.#facts.clear();
    for (const table of ["media_facts", "media_inits", "media_segments", "media_archive", "media_chunks"]) {
      this.#sql.exec(`DELETE FROM ${table} WHERE broadcast = ?`, this.#broadcast);
    }
  }

  loadInits(): InitRow[] {
    const query = "SELECT epoch, rendition, digest, timescale FROM media_inits WHERE broadcast = ?";
    return this.#sql.exec<InitRow & Record<string, SqlStorageValue>>(query, this.#broadcast).toArray();
  }

  saveInit({ epoch, rendition, digest, timescale }: InitRow): void {
    const query = "INSERT INTO media_inits (broadcast, epoch, rendition, digest, timescale) VALUES (?, ?, ?, ?, ?)";
    this.#sql.exec(query, this.#broadcast, epoch, rendition, digest, timescale);
  }

  /** Segments of the tail, in order. */
  loadSegments(): { rendition: string; segment: Segment }[] {
    return this.#sql
      .exec<{ rendition: string; value: string }>(
        "SELECT rendition, value FROM media_segments WHERE broadcast = ? ORDER BY rendition, msn",
        this.#broadcast,
      )
      .toArray()
      .map(({ rendition, value }) => ({ rendition, segment: JSON.parse(value) as Segment }));
  }

  saveSegment(rendition: string, segment: Segment): void {
    const query = "INSERT OR REPLACE INTO media_segments (broadcast, rendition, msn, value) VALUES (?, ?, ?, ?)";
    this.#sql.exec(query, this.#broadcast, rendition, segment.msn, JSON.stringify(segment));
  }

  /** Forgets segments that left the tail. */
  deleteSegmentsBefore(firstMsn: number): void {
    this.#sql.exec("DELETE FROM media_segments WHERE broadcast = ? AND msn < ?", this.#broadcast, firstMsn);
  }

  loadArchivePage(rendition: string, page: number): PackedSegment[] {
    return this.loadArchivePages(rendition, page, page)[0] ?? [];
  }

  /** Pages of the archive, in order; those that were never written are left out. */
  loadArchivePages(rendition: string, from: number, to: number): PackedSegment[][] {
    return this.#sql
      .exec<{ value: string }>(
        "SELECT value FROM media_archive WHERE broadcast = ? AND rendition = ? AND page BETWEEN ? AND ? ORDER BY page",
        this.#broadcast,
        rendition,
        from,
        to,
      )
      .toArray()
      .map((row) => JSON.parse(row.value) as PackedSegment[]);
  }

  saveArchivePage(rendition: string, page: number, segments: PackedSegment[]): void {
    const query = "INSERT OR REPLACE INTO media_archive (broadcast, rendition, page, value) VALUES (?, ?, ?, ?)";
    this.#sql.exec(query, this.#broadcast, rendition, page, JSON.stringify(segments));
  }

  deleteArchivePagesBefore(page: number): void {
    this.#sql.exec("DELETE FROM media_archive WHERE broadcast = ? AND page < ?", this.#broadcast, page);
  }

  loadParts(): { rendition: string; push: PartPush }[] {
    return this.#sql
      .exec<{ rendition: string; value: string }>(
        "SELECT rendition, value FROM media_chunks WHERE broadcast = ? AND chunk = 0 ORDER BY rendition, msn, part",
        this.#broadcast,
      )
      .toArray()
      .map(({ rendition, value }) => ({ rendition, push: JSON.parse(value) as PartPush }));
  }

  savePart(rendition: string, push: PartPush, bytes: Uint8Array): void {
    for (let chunk = 0; chunk === 0 || chunk * CHUNK_BYTES < bytes.length; chunk++) {
      this.#sql.exec(
        "INSERT INTO media_chunks (broadcast, rendition, msn, part, chunk, value, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
        this.#broadcast,
        rendition,
        push.msn,
        push.part,
        chunk,
        chunk === 0 ? JSON.stringify(push) : null,
        bytes.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES),
      );
    }
  }

  /** A part's bytes; null where it never came or has gone. */
  readPart(rendition: string, msn: number, part: number): Uint8Array | null {
    const bytes = this.#readParts(rendition, msn, part, part);
    return bytes.length === 0 ? null : bytes;
  }

  /** The bytes of a segment's first `count` parts, one after the other. */
  readParts(rendition: string, msn: number, count: number): Uint8Array {
    return this.#readParts(rendition, msn, 0, count - 1);
  }

  /** Drops the bytes of a rendition's parts before a segment. */
  deletePartsBefore(rendition: string, msn: number): void {
    this.#sql.exec("DELETE FROM media_chunks WHERE broadcast = ? AND rendition = ? AND msn < ?", this.#broadcast, rendition, msn);
  }

  #readParts(rendition: string, msn: number, first: number, last: number): Uint8Array {
    const rows = this.#sql.exec<{ bytes: ArrayBuffer }>(
      "SELECT bytes FROM media_chunks WHERE broadcast = ? AND rendition = ? AND msn = ? AND part BETWEEN ? AND ? ORDER BY part, chunk",
      this.#broadcast,
      rendition,
      msn,
      first,
      last,
    );
    return concatBytes(rows.toArray().map((row) => new Uint8Array(row.bytes)));
  }
}
