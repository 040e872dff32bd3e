import { setTimeout as sleep } from "node:timers/promises";
import type { TracksRequest } from "../../domain/protocol/origin-link.ts";
import type { Log } from "../log.ts";
import { type EdgeClient, EdgeRefusal, EdgeUnavailable, type Lease } from "./edge-client.ts";
import { BytesLost, type Kept } from "./kept.ts";
import { Lane, type LaneItem } from "./lane.ts";
import { retrying } from "./retry.ts";
import type { Shelf } from "./shelf.ts";
import type { Spool } from "./spool.ts";

/** How long a segment lets its own parts go first. */
const PARTS_FIRST_MS = 1_000;
/** Parts of this many segments behind the newest one are still worth sending: the edge lists them near the live edge. */
const PART_SEGMENTS = 3;
/** The edge refuses what is further ahead of the last complete segment than 30; parts this far ahead are listed by nobody anyway. */
const PARTS_AHEAD = 20;
/** An edge that answers others, but fails this often on one segment, has no use for it. */
const MAX_FAULTS = 60;

interface MediaItem extends LaneItem {
  rendition: string;
  msn: number;
  /** Null: nothing but the word that it is lost. */
  kept: Kept | null;
}

/** A segment to upload; `pdt` is Unix ms. */
export interface SegmentUpload {
  rendition: string;
  msn: number;
  duration: number;
  pdt: number;
  bytes: Uint8Array;
}

/** A part to upload. */
export interface PartUpload {
  rendition: string;
  msn: number;
  part: number;
  duration: number;
  independent: boolean;
  bytes: Uint8Array;
}

/** How an uploader is wired. */
export interface UploaderOptions {
  edge: EdgeClient;
  lease: Lease;
  log: Log;
  /** Where media waits; one for all uploaders of an origin. */
  spool: Spool;
  /** The edge no longer takes anything of this epoch: stop. Called once. */
  onRefused(message: string): void;
  /** The edge has something, so many seconds after it was handed over. */
  onUploaded?(what: "part" | "segment", seconds: number): void;
  /** The edge refused something, or it was lost on the way. */
  onFailed?(): void;
  /** A segment will not reach the edge: viewers get a gap. */
  onGap?(rendition: string, msn: number): void;
}

/** What an uploader has before it. */
export interface UploadStatus {
  /** In memory and on disk. */
  waitingBytes: number;
  /** On disk. */
  spooledBytes: number;
  /** Segments that were lost so far. */
  gaps: number;
}

/**
 * Pushes one epoch to the edge: in each rendition parts in order, and segments in order beside them, everything repeated until the edge
 * has it. What waits lies in the spool; what the spool gives up becomes a declared gap (PL12).
 */
export class Uploader {
  readonly #options: UploaderOptions;
  readonly #abort = new AbortController();
  readonly #shelf: Shelf;
  readonly #parts = new Map<string, Lane<MediaItem>>();
  readonly #segments = new Map<string, Lane<MediaItem>>();
  /** Settles when a rendition's newest part is through. */
  readonly #lastPart = new Map<string, Promise<void>>();
  /** The segment that a rendition's newest part is of. */
  readonly #newest = new Map<string, number>();
  /** The segment before the first one that the edge still lacks. */
  readonly #through = new Map<string, number>();
  readonly #inits: Lane<LaneItem>;
  readonly #announced = Promise.withResolvers<void>();
  #refused = false;
  #targetDuration = Number.POSITIVE_INFINITY;
  #gaps = 0;
  /** Calls that were still to make when time ran out. */
  #unsent = 0;
  /** Since segments began to be given up for want of room. */
  #givenUp = 0;

  constructor(options: UploaderOptions) {
    this.#options = options;
    this.#inits = new Lane(this.#announced.promise, (error) => this.#failed(error, "init"));
    this.#shelf = options.spool.shelf(() => this.#dropParts(() => true));
  }

  status(): UploadStatus {
    return { waitingBytes: this.#shelf.bytes, spooledBytes: this.#shelf.diskBytes, gaps: this.#gaps };
  }

  /** Announces the renditions; nothing else leaves before the edge knows them. */
  tracks(tracks: TracksRequest): void {
    this.#targetDuration = tracks.target_duration;
    this.#put("/tracks", tracks)
      .catch((error: unknown) => this.#failed(error, "tracks"))
      .finally(() => this.#announced.resolve());
  }

  init(rendition: string, bytes: Uint8Array): void {
    this.#inits.push({ run: () => this.#put(`/${rendition}/init.mp4`, bytes) });
  }

  part(part: PartUpload): void {
    if (this.#refused) return;
    const { rendition, msn } = part;
    const since = performance.now();
    if (!this.#through.has(rendition)) this.#through.set(rendition, msn - 1);
    this.#newest.set(rendition, msn);
    const path = `/${rendition}/${msn}/${part.part}?duration=${part.duration.toFixed(6)}&independent=${part.independent ? 1 : 0}`;
    const kept = this.#shelf.keepPart(part.bytes);
    const run = async () => {
      try {
        if (await this.#putPart(path, kept, { rendition, msn })) this.#uploaded("part", since);
      } finally {
        kept.release();
      }
    };
    this.#dropParts((item) => item.rendition === rendition && item.msn <= msn - PART_SEGMENTS);
    this.#lastPart.set(rendition, this.#lane(this.#parts, rendition, "part").push({ rendition, msn, kept, run }));
  }

  segment(segment: SegmentUpload): void {
    if (this.#refused) return;
    const { rendition, msn } = segment;
    const since = performance.now();
    const lastPart = this.#lastPart.get(rendition);
    const kept = this.#shelf.keepSegment(segment.bytes, () => this.#noteGivenUp(rendition, msn));
    const run = async () => {
      try {
        // Who waits for the last part shall see it before its segment: parts go first, unless they are stuck.
        if (lastPart !== undefined) await settledWithin(lastPart, PARTS_FIRST_MS);
        await this.#putSegment(segment, kept);
        this.#uploaded("segment", since);
      } catch (error) {
        await this.#declareGap(segment, error);
      } finally {
        kept.release();
        this.#sent(rendition, msn);
      }
    };
    this.#lane(this.#segments, rendition, "segment").push({ rendition, msn, kept, run });
  }

  /** Says, in its turn, that there is no segment of a number; `duration` in seconds, `pdt` Unix ms. */
  gap(rendition: string, msn: number, duration: number, pdt: number): void {
    if (this.#refused) return;
    this.#noteGap(rendition, msn);
    const run = () => this.#putGap({ rendition, msn, duration, pdt }).finally(() => this.#sent(rendition, msn));
    this.#lane(this.#segments, rendition, "gap").push({ rendition, msn, kept: null, run });
  }

  /** Waits until the edge has everything, for at most `timeoutMs`, then stops trying. */
  async drain(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.#abort.abort(), timeoutMs);
    this.#announceIfNothingWaits();
    // What the edge never heard of is not sent: nothing else tells these lanes to give up.
    this.#abort.signal.addEventListener("abort", () => this.#announced.resolve(), { once: true });
    for (const lane of [this.#inits, ...this.#parts.values(), ...this.#segments.values()]) await lane.idle();
    clearTimeout(timer);
    this.#shelf.close();
    if (this.#unsent > 0) this.#options.log.warn({ calls: this.#unsent }, "the edge did not take everything in time: the rest is lost");
  }

  /** Stops at once; what waits is lost. */
  abort(): void {
    this.#refused = true;
    this.#abort.abort();
    this.#announced.resolve();
    this.#shelf.close();
  }

  /** An epoch that never got as far as its tracks has nothing to send. */
  #announceIfNothingWaits(): void {
    if (this.#parts.size === 0 && this.#segments.size === 0 && this.#inits.empty) this.#announced.resolve();
  }

  async #put(path: string, body: Uint8Array | object): Promise<void> {
    await this.#retrying(() => this.#call(path, body));
  }

  async #call(path: string, body: Uint8Array | object): Promise<void> {
    const { edge, lease } = this.#options;
    if (!this.#refused) await edge.call(lease, "PUT", path, body, this.#abort.signal);
  }

  #retrying<Value>(body: () => Promise<Value>): Promise<Value> {
    return retrying(body, this.#abort.signal, this.#options.edge.health);
  }

  /** Resolves with whether the edge has it: a part that the live edge has left behind is not sent. */
  #putPart(path: string, kept: Kept, { rendition, msn }: { rendition: string; msn: number }): Promise<boolean> {
    return this.#retrying(async () => {
      const through = this.#through.get(rendition) ?? 0;
      if (msn <= (this.#newest.get(rendition) ?? 0) - PART_SEGMENTS || msn <= through || msn > through + PARTS_AHEAD) return false;
      await kept.use(this.#abort.signal, (bytes) => this.#call(path, bytes));
      return true;
    });
  }

  #putSegment(segment: SegmentUpload, kept: Kept): Promise<void> {
    let faults = 0;
    return this.#retrying(async () => {
      try {
        await kept.use(this.#abort.signal, (bytes) => this.#call(segmentPath(segment), bytes));
      } catch (error) {
        if (!(error instanceof EdgeUnavailable) || this.#options.edge.health.away) throw error;
        faults += 1;
        throw faults < MAX_FAULTS ? error : new EdgeRefusal(503, "faulty", error.message);
      }
    });
  }

  /** A segment that the edge will never get leaves a gap, so that playlists go on without it (PL12). Rejects where the epoch is at an end, or time is. */
  async #declareGap(segment: SegmentUpload, error: unknown): Promise<void> {
    const { rendition, msn } = segment;
    const lost = error instanceof BytesLost;
    if (!lost && (!(error instanceof EdgeRefusal) || endsEpoch(error))) throw error;
    // What was given up was counted then.
    if (!lost || error.reason !== "given_up") {
      this.#options.log.error({ rendition, msn, error: error.message }, "a segment cannot be sent: it becomes a gap");
      this.#noteGap(rendition, msn);
    }
    await this.#putGap(segment);
  }

  #putGap(segment: Omit<SegmentUpload, "bytes">): Promise<void> {
    const duration = Math.min(segment.duration, this.#targetDuration);
    return this.#put(`${segmentPath({ ...segment, duration })}&gap=1`, new Uint8Array());
  }

  #lane(lanes: Map<string, Lane<MediaItem>>, rendition: string, what: string): Lane<MediaItem> {
    let lane = lanes.get(rendition);
    if (lane === undefined) {
      lane = new Lane(this.#announced.promise, (error, item) => this.#failed(error, `${what} ${item.rendition}/${item.msn}`));
      lanes.set(rendition, lane);
    }
    return lane;
  }

  #failed(error: unknown, what: string): void {
    const { log, onRefused } = this.#options;
    if (this.#refused) return;
    if (this.#abort.signal.aborted) {
      this.#unsent += 1;
      return;
    }
    const message = error instanceof Error ? error.message : String(error);
    // Parts that run ahead of what the edge has yet to get are in their segments, too.
    if (error instanceof EdgeRefusal && error.code === "too_far_ahead") return log.debug({ what, error: message }, "not taken yet");
    log.warn({ what, error: message }, "upload failed");
    this.#options.onFailed?.();
    if (!(error instanceof EdgeRefusal) || !endsEpoch(error)) return;
    this.abort();
    onRefused(message);
  }

  #dropParts(condition: (item: MediaItem) => boolean): void {
    for (const lane of this.#parts.values()) {
      for (const { kept } of lane.take(condition)) kept?.release();
    }
  }

  #uploaded(what: "part" | "segment", since: number): void {
    if (!this.#refused) this.#options.onUploaded?.(what, (performance.now() - since) / 1000);
  }

  /** A segment is through: its parts, and those before it, are of no use to anybody any more. */
  #sent(rendition: string, msn: number): void {
    this.#through.set(rendition, msn);
    this.#dropParts((item) => item.rendition === rendition && item.msn <= msn);
    if (this.#givenUp === 0 || this.#abort.signal.aborted || this.#shelf.oldest(false) !== null) return;
    this.#options.log.warn({ segments: this.#givenUp }, "the edge has what waited for it, but for the segments that were given up");
    this.#givenUp = 0;
  }

  #noteGivenUp(rendition: string, msn: number): void {
    this.#givenUp += 1;
    if (this.#givenUp === 1) {
      this.#options.log.error({ rendition, msn }, "more waits for the edge than there is room for: the oldest segments become gaps");
    }
    this.#noteGap(rendition, msn);
  }

  #noteGap(rendition: string, msn: number): void {
    this.#gaps += 1;
    this.#options.onGap?.(rendition, msn);
  }
}

/** Nothing more of this epoch is taken. */
function endsEpoch(error: EdgeRefusal): boolean {
  return error.code === "fenced" || error.code === "declared_differs" || error.status === 401;
}

function segmentPath({ rendition, msn, duration, pdt }: Omit<SegmentUpload, "bytes">): string {
  return `/${rendition}/${msn}?duration=${duration.toFixed(6)}&pdt=${Math.round(pdt)}`;
}

async function settledWithin(promise: Promise<void>, timeoutMs: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([promise, sleep(timeoutMs, undefined, { ref: false, signal: timer.signal }).catch(() => undefined)]);
  timer.abort();
}
