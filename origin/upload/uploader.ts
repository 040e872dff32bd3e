import { setTimeout as sleep } from "node:timers/promises";
import type { TracksRequest } from "../../domain/protocol/origin-link.ts";
import type { Log } from "../log.ts";
import type { EdgeClient, Lease } from "./edge-client.ts";
import { EdgeRefusal } from "./edge-client.ts";
import { Lane, type LaneItem } from "./lane.ts";
import { retrying } from "./retry.ts";

/** How long a segment lets its own parts go first. */
const PARTS_FIRST_MS = 1_000;
/** What waits in memory for the edge, at most, before the oldest is given up. */
const MAX_BYTES = 96 << 20;

/** Parts of this many segments behind the newest one are still worth sending: the edge lists them near the live edge. */
const PART_SEGMENTS = 3;

interface MediaItem extends LaneItem {
  rendition: string;
  msn: number;
  /** Below the epoch, with its query. */
  path: string;
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
  /** The edge no longer takes anything of this epoch: stop. Called once. */
  onRefused(message: string): void;
}

/**
 * Pushes one epoch to the edge: parts in order for each rendition, segments beside them, everything repeated until the edge
 * has it. Memory is bounded: what the edge cannot take in time is given up from the oldest, segments as a declared gap.
 */
export class Uploader {
  readonly #options: UploaderOptions;
  readonly #abort = new AbortController();
  readonly #parts = new Map<string, Lane<MediaItem>>();
  readonly #segments = new Map<string, Lane<MediaItem>>();
  /** Settles when a rendition's newest part is through. */
  readonly #lastPart = new Map<string, Promise<void>>();
  readonly #inits: Lane<LaneItem>;
  readonly #announced = Promise.withResolvers<void>();
  #refused = false;
  #targetDuration = 0;

  constructor(options: UploaderOptions) {
    this.#options = options;
    this.#inits = new Lane(this.#announced.promise, (error) => this.#failed(error, "init"));
  }

  /** Announces the renditions; nothing else leaves before the edge knows them. */
  tracks(tracks: TracksRequest): void {
    this.#targetDuration = tracks.target_duration;
    this.#put("/tracks", tracks)
      .catch((error: unknown) => this.#failed(error, "tracks"))
      .finally(() => this.#announced.resolve());
  }

  init(rendition: string, bytes: Uint8Array): void {
    this.#inits.push({ size: bytes.length, run: () => this.#put(`/${rendition}/init.mp4`, bytes) });
  }

  part(part: PartUpload): void {
    const { rendition, msn, bytes } = part;
    const path = `/${rendition}/${msn}/${part.part}?duration=${part.duration.toFixed(6)}&independent=${part.independent ? 1 : 0}`;
    const item = { rendition, msn, path, size: bytes.length, run: () => this.#put(path, bytes) };
    this.#lastPart.set(rendition, this.#lane(this.#parts, rendition, "part").push(item));
    this.#bound();
  }

  segment(segment: SegmentUpload): void {
    const { rendition, msn, bytes } = segment;
    const path = segmentPath(segment);
    const lastPart = this.#lastPart.get(rendition);
    const run = async () => {
      // Who waits for the last part shall see it before its segment: parts go first, unless they are stuck.
      await Promise.race([lastPart, sleep(PARTS_FIRST_MS, undefined, { ref: false })]);
      await this.#put(path, bytes).catch((error: unknown) => this.#declareGap(segment, error));
      // The edge has the whole; parts far behind it are of no use to anybody any more.
      this.#parts.get(rendition)?.take((item) => item.msn <= msn - PART_SEGMENTS);
    };
    this.#lane(this.#segments, rendition, "segment").push({ rendition, msn, path, size: bytes.length, run });
    this.#bound();
  }

  /** Waits until the edge has everything, for at most `timeoutMs`, then stops trying. */
  async drain(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.#abort.abort(), timeoutMs);
    this.#announceIfNothingWaits();
    for (const lane of [this.#inits, ...this.#parts.values(), ...this.#segments.values()]) await lane.idle();
    clearTimeout(timer);
  }

  /** Stops at once; what waits is lost. */
  abort(): void {
    this.#refused = true;
    this.#abort.abort();
    this.#announced.resolve();
  }

  /** An epoch that never got as far as its tracks has nothing to send. */
  #announceIfNothingWaits(): void {
    if (this.#parts.size === 0 && this.#segments.size === 0 && this.#inits.bytes === 0) this.#announced.resolve();
  }

  async #put(path: string, body: Uint8Array | object): Promise<void> {
    if (this.#refused) return;
    const { edge, lease } = this.#options;
    await retrying(() => edge.call(lease, "PUT", path, body, this.#abort.signal), this.#abort.signal);
  }

  /** Says that a segment, named by its path, is lost. */
  #putGap(path: string): Promise<void> {
    return this.#put(`${path}&gap=1`, new Uint8Array());
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
    const message = error instanceof Error ? error.message : String(error);
    log.warn({ what, error: message }, "upload failed");
    if (!(error instanceof EdgeRefusal) || !endsEpoch(error) || this.#refused) return;
    this.abort();
    onRefused(message);
  }

  /** A segment that the edge will never take leaves a gap, so that playlists go on without it (PL12). Rejects where the epoch is at an end. */
  async #declareGap(segment: SegmentUpload, error: unknown): Promise<void> {
    if (!(error instanceof EdgeRefusal) || endsEpoch(error)) throw error;
    const { log } = this.#options;
    log.error({ rendition: segment.rendition, msn: segment.msn, error: error.message }, "the edge refused a segment: it becomes a gap");
    const duration = Math.min(segment.duration, this.#targetDuration);
    await this.#putGap(segmentPath({ ...segment, duration }));
  }

  /** Gives up the oldest until what waits fits: parts first, for their segment carries them too, then segments as gaps. */
  #bound(): void {
    const waiting = () => [...this.#parts.values(), ...this.#segments.values()].reduce((sum, lane) => sum + lane.bytes, 0);
    if (waiting() <= MAX_BYTES) return;
    for (const lane of this.#parts.values()) lane.take(() => true);
    for (const lane of this.#segments.values()) {
      while (waiting() > MAX_BYTES && this.#giveUpOldest(lane));
    }
  }

  /** Replaces the oldest segment that waits by a gap, so that playlists go on without it (PL12). Returns whether there was one. */
  #giveUpOldest(lane: Lane<MediaItem>): boolean {
    let found = false;
    const [oldest] = lane.take((item) => {
      const first = !found && item.size > 0;
      found ||= first;
      return first;
    });
    if (oldest === undefined) return false;
    const { rendition, msn, path } = oldest;
    this.#options.log.warn({ rendition, msn }, "the edge is too slow: a segment is given up");
    lane.push({ ...oldest, size: 0, run: () => this.#putGap(path) });
    return true;
  }
}

/** Nothing more of this epoch is taken. */
function endsEpoch(error: EdgeRefusal): boolean {
  return error.code === "fenced" || error.code === "declared_differs" || error.status === 401;
}

function segmentPath({ rendition, msn, duration, pdt }: SegmentUpload): string {
  return `/${rendition}/${msn}?duration=${duration.toFixed(6)}&pdt=${Math.round(pdt)}`;
}
