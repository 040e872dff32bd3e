import { setTimeout as sleep } from "node:timers/promises";
import { type Heartbeat, HeartbeatAnswer, type TracksRequest } from "../../domain/protocol/origin-link.ts";
import type { Log } from "../log.ts";
import { type EdgeClient, EdgeRefusal, EdgeUnavailable, endsEpoch, type Lease } from "./edge-client.ts";
import { HeartbeatRider } from "./heartbeat-rider.ts";
import { BytesLost, type Kept } from "./kept.ts";
import { Lane, type LaneItem } from "./lane.ts";
import { PartsLane, type PartUpload } from "./parts-lane.ts";
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

interface SegmentItem extends LaneItem {
  rendition: string;
  msn: number;
}

/** A segment to upload; `pdt` is Unix ms. */
export interface SegmentUpload {
  rendition: string;
  msn: number;
  duration: number;
  pdt: number;
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
  readonly #parts: PartsLane;
  readonly #rider: HeartbeatRider;
  readonly #segments = new Map<string, Lane<SegmentItem>>();
  /** Settles when a rendition's newest part is through. */
  readonly #lastPart = new Map<string, Promise<void>>();
  /** The segment that a rendition's newest part is of. */
  readonly #newest = new Map<string, number>();
  /** The segment before the first one that the edge still lacks. */
  readonly #through = new Map<string, number>();
  readonly #inits: Lane<LaneItem>;
  readonly #announced = Promise.withResolvers<void>();
  #isAnnounced = false;
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
    this.#shelf = options.spool.shelf(() => this.#parts.drop(() => true));
    this.#rider = new HeartbeatRider((health) => this.#beat(health));
    this.#parts = new PartsLane({
      edge: options.edge,
      lease: options.lease,
      signal: this.#abort.signal,
      gate: this.#announced.promise,
      rider: this.#rider,
      isStale: (part) => this.#isStale(part),
      onUploaded: (seconds) => this.#uploaded("part", seconds),
      onFailed: (error, { rendition, msn }) => this.#failed(error, `part ${rendition}/${msn}`),
    });
  }

  status(): UploadStatus {
    return { waitingBytes: this.#shelf.bytes, spooledBytes: this.#shelf.diskBytes, gaps: this.#gaps };
  }

  /** Announces the renditions; nothing else leaves before the edge knows them. */
  tracks(tracks: TracksRequest): void {
    this.#targetDuration = tracks.target_duration;
    this.#parts.announce(tracks);
    this.#put("/tracks", tracks)
      .catch((error: unknown) => this.#failed(error, "tracks"))
      .finally(() => {
        this.#isAnnounced = true;
        this.#announced.resolve();
      });
  }

  /** Says how the stream is doing, with the next parts if there are any soon. Rejects as a call does. */
  heartbeat(health: Heartbeat): Promise<HeartbeatAnswer> {
    return this.#isAnnounced && !this.#refused ? this.#rider.send(health) : this.#beat(health);
  }

  init(rendition: string, bytes: Uint8Array): void {
    this.#inits.push({ run: () => this.#put(`/${rendition}/init.mp4`, bytes) });
  }

  part({ bytes, ...part }: PartUpload): void {
    if (this.#refused) return;
    const { rendition, msn } = part;
    if (!this.#through.has(rendition)) this.#through.set(rendition, msn - 1);
    this.#newest.set(rendition, msn);
    const kept = this.#shelf.keepPart(bytes);
    this.#parts.drop((waiting) => waiting.rendition === rendition && waiting.msn <= msn - PART_SEGMENTS);
    this.#lastPart.set(rendition, this.#parts.push(part, kept));
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
        this.#uploaded("segment", (performance.now() - since) / 1000);
      } catch (error) {
        await this.#declareGap(segment, error);
      } finally {
        kept.release();
        this.#sent(rendition, msn);
      }
    };
    this.#segmentLane(rendition).push({ rendition, msn, run });
  }

  /** Says, in its turn, that there is no segment of a number; `duration` in seconds, `pdt` Unix ms. */
  gap(rendition: string, msn: number, duration: number, pdt: number): void {
    if (this.#refused) return;
    this.#noteGap(rendition, msn);
    const run = () => this.#putGap({ rendition, msn, duration, pdt }).finally(() => this.#sent(rendition, msn));
    this.#segmentLane(rendition).push({ rendition, msn, run });
  }

  /** Waits until the edge has everything, for at most `timeoutMs`, then stops trying. */
  async drain(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.#abort.abort(), timeoutMs);
    this.#announceIfNothingWaits();
    // What the edge never heard of is not sent: nothing else tells these lanes to give up.
    this.#abort.signal.addEventListener("abort", () => this.#announced.resolve(), { once: true });
    for (const lane of [this.#inits, this.#parts, ...this.#segments.values()]) await lane.idle();
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
    if (this.#parts.empty && this.#segments.size === 0 && this.#inits.empty) this.#announced.resolve();
  }

  async #beat(health: Heartbeat): Promise<HeartbeatAnswer> {
    const { edge, lease } = this.#options;
    return HeartbeatAnswer.parse(await edge.call(lease, "POST", "/heartbeat", health));
  }

  /** Of what is not media: it waits for no turn. */
  async #put(path: string, body: Uint8Array | object): Promise<void> {
    const { edge, lease } = this.#options;
    await this.#retrying(async () => {
      if (!this.#refused) await edge.call(lease, "PUT", path, body, this.#abort.signal);
    });
  }

  #putMedia(path: string, bytes: Uint8Array): Promise<void> {
    const { edge, lease } = this.#options;
    return edge.turns.take("segment", lease.stream, this.#abort.signal, async () => {
      if (!this.#refused) await edge.media(lease, path, bytes, this.#abort.signal);
    });
  }

  #retrying<Value>(body: () => Promise<Value>): Promise<Value> {
    return retrying(body, this.#abort.signal, this.#options.edge.health);
  }

  /** The live edge has left the part behind, or nobody would be told of it yet. */
  #isStale({ rendition, msn }: { rendition: string; msn: number }): boolean {
    const through = this.#through.get(rendition) ?? 0;
    return msn <= (this.#newest.get(rendition) ?? 0) - PART_SEGMENTS || msn <= through || msn > through + PARTS_AHEAD;
  }

  #putSegment(segment: SegmentUpload, kept: Kept): Promise<void> {
    let faults = 0;
    return this.#retrying(async () => {
      try {
        await kept.use(this.#abort.signal, (bytes) => this.#putMedia(segmentPath(segment), bytes));
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
    return this.#retrying(() => this.#putMedia(`${segmentPath({ ...segment, duration })}&gap=1`, new Uint8Array()));
  }

  #segmentLane(rendition: string): Lane<SegmentItem> {
    let lane = this.#segments.get(rendition);
    if (lane === undefined) {
      lane = new Lane(this.#announced.promise, (error, item) => this.#failed(error, `segment ${item.rendition}/${item.msn}`));
      this.#segments.set(rendition, lane);
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

  #uploaded(what: "part" | "segment", seconds: number): void {
    if (!this.#refused) this.#options.onUploaded?.(what, seconds);
  }

  /** A segment is through: its parts, and those before it, are of no use to anybody any more. */
  #sent(rendition: string, msn: number): void {
    this.#through.set(rendition, msn);
    this.#parts.drop((part) => part.rendition === rendition && part.msn <= msn);
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

function segmentPath({ rendition, msn, duration, pdt }: Omit<SegmentUpload, "bytes">): string {
  return `/${rendition}/${msn}?duration=${duration.toFixed(6)}&pdt=${Math.round(pdt)}`;
}

async function settledWithin(promise: Promise<void>, timeoutMs: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([promise, sleep(timeoutMs, undefined, { ref: false, signal: timer.signal }).catch(() => undefined)]);
  timer.abort();
}
