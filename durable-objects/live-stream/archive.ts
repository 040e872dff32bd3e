import type { Seconds } from "../../domain/time.ts";
import { type PackedSegment, packSegment, unpackSegment } from "../../domain/timeline/archive.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import type { MediaStorage } from "./media-storage.ts";

/** Segments in a row of the archive. */
const PAGE = 100;

/**
 * The segments between the start of the window and the tail that the timeline holds, in SQLite alone: of a window of hours the
 * isolate holds a page a rendition. With `keepAll` nothing is ever forgotten, for a recording.
 */
export class Archive {
  readonly #storage: MediaStorage;
  readonly #keepAll: boolean;
  #firstMsn: number;
  #seconds: Seconds;
  /** The pages that are written to or trimmed; read again from storage when they are not here. */
  readonly #pages = new Map<string, { page: number; segments: PackedSegment[] }>();

  constructor(storage: MediaStorage, keepAll: boolean) {
    this.#storage = storage;
    this.#keepAll = keepAll;
    const kept = storage.load("archive");
    this.#firstMsn = kept?.firstMsn ?? 1;
    this.#seconds = kept?.seconds ?? 0;
  }

  /** The first media sequence number that playlists list. */
  get firstMsn(): number {
    return this.#firstMsn;
  }

  /** Takes over a segment that left the tail; a rendition's come in order. */
  append(rendition: string, segment: Segment): void {
    const page = Math.floor(segment.msn / PAGE);
    const segments = this.#page(`write ${rendition}`, rendition, page);
    segments.push(packSegment(segment));
    this.#storage.saveArchivePage(rendition, page, segments);
  }

  /**
   * Moves the start of the window so that the archive and a tail of `tailSeconds` last at least `window`. `tailFirstMsn` is the tail's
   * first number, `added` what joined the archive since the last call; `rendition` is one that has every segment.
   */
  trim(rendition: string, added: Seconds, tailFirstMsn: number, tailSeconds: Seconds, window: Seconds): void {
    this.#seconds += added;
    while (this.#firstMsn < tailFirstMsn) {
      const oldest = this.#durationOf(rendition, this.#firstMsn);
      if (this.#seconds - oldest + tailSeconds < window) break;
      this.#seconds -= oldest;
      this.#firstMsn += 1;
    }
    if (!this.#keepAll) this.#storage.deleteArchivePagesBefore(Math.floor(this.#firstMsn / PAGE));
    this.#storage.save("archive", { firstMsn: this.#firstMsn, seconds: this.#seconds });
  }

  /** A rendition's segments from one number up to, and without, another. */
  read(rendition: string, fromMsn: number, beforeMsn: number): Segment[] {
    if (fromMsn >= beforeMsn) return [];
    return this.#storage
      .loadArchivePages(rendition, Math.floor(fromMsn / PAGE), Math.floor(beforeMsn / PAGE))
      .flat()
      .filter(([msn]) => msn >= fromMsn && msn < beforeMsn)
      .map(unpackSegment);
  }

  #durationOf(rendition: string, msn: number): Seconds {
    return this.#page("trim", rendition, Math.floor(msn / PAGE)).find((segment) => segment[0] === msn)?.[2] ?? 0;
  }

  #page(use: string, rendition: string, page: number): PackedSegment[] {
    const held = this.#pages.get(use);
    // What is being written to may have grown since it was read for trimming.
    const writing = this.#pages.get(`write ${rendition}`);
    if (writing?.page === page) return writing.segments;
    if (held?.page === page) return held.segments;
    const segments = this.#storage.loadArchivePage(rendition, page);
    this.#pages.set(use, { page, segments });
    return segments;
  }
}
