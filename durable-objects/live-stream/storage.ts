import type { BroadcastSnapshot } from "../../domain/broadcast/broadcast.ts";
import { concatBytes } from "../../domain/bytes.ts";
import type { Track } from "../../domain/protocol/origin-link.ts";
import type { PartPush } from "../../domain/timeline/rendition-timeline.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import type { TimelineSnapshot } from "../../domain/timeline/timeline.ts";

/** What the object knows of its stream from the control plane; its home is D1. */
export interface StreamConfig {
  id: string;
  title: string;
  reconnectWindowSeconds: number;
  latencyMode: "low" | "standard";
}

/** What the current broadcast declared, beside its timeline. */
export interface BroadcastTracks {
  broadcast: number;
  targetDuration: number;
  tracks: Track[];
  /** `PART-TARGET` of every rendition that the broadcast has had (PL1). */
  partTargets: Record<string, number>;
}

/** The facts that are single values, each a row. */
interface Facts {
  config: StreamConfig;
  broadcast: BroadcastSnapshot;
  tracks: BroadcastTracks;
  timeline: TimelineSnapshot;
  /** Epochs that ended with segments open, still to be settled. */
  unsettled: number[];
  events: { instance: string; seq: number };
  peak: number;
  /** Rising number of the projection to D1, and when the next one is due (Unix ms; null where D1 is up to date). */
  projection: { version: number; dueAt: number | null };
}

/** A row of at most 2 MB is a limit of the platform; larger parts take several. */
const CHUNK_BYTES = 1_900_000;

/**
 * The object's SQLite: everything that must outlive an eviction. A part's bytes are a row beside its facts, so that what was
 * acknowledged is never lost; they go when R2 has had the segment for a while.
 */
export class LiveStreamStorage {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS inits (epoch INTEGER, rendition TEXT, digest TEXT NOT NULL, PRIMARY KEY (epoch, rendition)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS segments (rendition TEXT, msn INTEGER, value TEXT NOT NULL, PRIMARY KEY (rendition, msn)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS parts (
        rendition TEXT, msn INTEGER, part INTEGER, chunk INTEGER, value TEXT, bytes BLOB NOT NULL,
        PRIMARY KEY (rendition, msn, part, chunk)
      ) WITHOUT ROWID;
    `);
  }

  load<Name extends keyof Facts>(name: Name): Facts[Name] | null {
    const row = this.#sql.exec<{ value: string }>("SELECT value FROM facts WHERE name = ?", name).toArray()[0];
    return row === undefined ? null : (JSON.parse(row.value) as Facts[Name]);
  }

  save<Name extends keyof Facts>(name: Name, value: Facts[Name]): void {
    this.#sql.exec(
      "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
      name,
      JSON.stringify(value),
    );
  }

  /** Forgets the media of the broadcast before. */
  clearBroadcast(): void {
    this.#sql.exec("DELETE FROM inits");
    this.#sql.exec("DELETE FROM segments");
    this.#sql.exec("DELETE FROM parts");
  }

  loadInits(): { epoch: number; rendition: string; digest: string }[] {
    return this.#sql.exec<{ epoch: number; rendition: string; digest: string }>("SELECT epoch, rendition, digest FROM inits").toArray();
  }

  saveInit(epoch: number, rendition: string, digest: string): void {
    this.#sql.exec("INSERT INTO inits (epoch, rendition, digest) VALUES (?, ?, ?)", epoch, rendition, digest);
  }

  loadSegments(): { rendition: string; segment: Segment }[] {
    return this.#sql
      .exec<{ rendition: string; value: string }>("SELECT rendition, value FROM segments ORDER BY rendition, msn")
      .toArray()
      .map(({ rendition, value }) => ({ rendition, segment: JSON.parse(value) as Segment }));
  }

  saveSegment(rendition: string, segment: Segment): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO segments (rendition, msn, value) VALUES (?, ?, ?)",
      rendition,
      segment.msn,
      JSON.stringify(segment),
    );
  }

  /** Forgets segments that left the window. */
  deleteSegmentsBefore(firstMsn: number): void {
    this.#sql.exec("DELETE FROM segments WHERE msn < ?", firstMsn);
  }

  loadParts(): { rendition: string; push: PartPush }[] {
    return this.#sql
      .exec<{ rendition: string; value: string }>("SELECT rendition, value FROM parts WHERE chunk = 0 ORDER BY rendition, msn, part")
      .toArray()
      .map(({ rendition, value }) => ({ rendition, push: JSON.parse(value) as PartPush }));
  }

  savePart(rendition: string, push: PartPush, bytes: Uint8Array): void {
    for (let chunk = 0; chunk === 0 || chunk * CHUNK_BYTES < bytes.length; chunk++) {
      this.#sql.exec(
        "INSERT INTO parts (rendition, msn, part, chunk, value, bytes) VALUES (?, ?, ?, ?, ?, ?)",
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
    const rows = this.#sql
      .exec<{ bytes: ArrayBuffer }>(
        "SELECT bytes FROM parts WHERE rendition = ? AND msn = ? AND part = ? ORDER BY chunk",
        rendition,
        msn,
        part,
      )
      .toArray();
    return rows.length === 0 ? null : concatBytes(rows.map((row) => new Uint8Array(row.bytes)));
  }

  /** The bytes of a segment's first `count` parts, one after the other. */
  readParts(rendition: string, msn: number, count: number): Uint8Array {
    const rows = this.#sql
      .exec<{ bytes: ArrayBuffer }>(
        "SELECT bytes FROM parts WHERE rendition = ? AND msn = ? AND part < ? ORDER BY part, chunk",
        rendition,
        msn,
        count,
      )
      .toArray();
    return concatBytes(rows.map((row) => new Uint8Array(row.bytes)));
  }

  /** Drops the bytes of a rendition's parts before a segment. */
  deletePartsBefore(rendition: string, msn: number): void {
    this.#sql.exec("DELETE FROM parts WHERE rendition = ? AND msn < ?", rendition, msn);
  }
}
