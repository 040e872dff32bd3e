import type { Connection } from "../../domain/broadcast/broadcast.ts";
import { NovaError } from "../../domain/errors.ts";
import {
  type BroadcastFacts,
  composeMediaPlaylist,
  composeMultivariantPlaylist,
  mediaPath,
  segmentFile,
} from "../../domain/hls/live-playlists.ts";
import { countSkippable, encodeMediaPlaylist } from "../../domain/hls/media-playlist.ts";
import { encodeMultivariantPlaylist } from "../../domain/hls/multivariant-playlist.ts";
import type { Declared, TracksRequest } from "../../domain/protocol/origin-link.ts";
import type { Millis, Seconds } from "../../domain/time.ts";
import { decideReload, isReached, type ReloadDecision, type ReloadQuery } from "../../domain/timeline/reload.ts";
import type { PartPush } from "../../domain/timeline/rendition-timeline.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import { type Remnant, Timeline } from "../../domain/timeline/timeline.ts";
import type { BroadcastTracks, LiveStreamStorage } from "./storage.ts";

/** How much stays listed behind the live edge. */
const WINDOW_SECONDS: Seconds = 60;
/** Rounding that a part's duration may show. */
const PART_TOLERANCE: Seconds = 0.001;
/** How far a segment's date may lie before the end of the one before it: clocks are rounded. */
const DATE_TOLERANCE_MS: Millis = 500;
const MAX_AHEAD_MS: Millis = 86_400_000;
/** Bytes of parts are kept for this many complete segments; older ones are cut from the segment in R2. */
const PART_SEGMENTS = 3;

/** Names a part. */
export interface PartAddress {
  broadcast: number;
  rendition: string;
  epoch: number;
  msn: number;
  part: number;
}

/** What the lifecycle says about the playlists. */
export type PlaylistState = Pick<BroadcastFacts, "ended" | "parts" | "nextEpoch">;

/** What a segment says of itself. */
export interface SegmentClaim {
  rendition: string;
  msn: number;
  duration: Seconds;
  pdt: Millis;
}

/** A part's bytes, or where in R2 they lie. */
export type PartBytes = { kind: "bytes"; bytes: Uint8Array } | { kind: "range"; key: string; offset: number; length: number };

/** The media of the current broadcast: its timeline, and the storage behind it. Rebuilt from that storage whenever the object wakes. */
export class MediaWindow {
  readonly #storage: LiveStreamStorage;
  readonly #streamId: () => string;
  #timeline: Timeline;
  #tracks: BroadcastTracks | null;
  #unsettled: number[];

  constructor(storage: LiveStreamStorage, streamId: () => string) {
    this.#storage = storage;
    this.#streamId = streamId;
    const snapshot = storage.load("timeline");
    this.#timeline = snapshot === null ? new Timeline() : Timeline.restore(snapshot);
    for (const { rendition, segment } of storage.loadSegments()) this.#timeline.restoreSegment(rendition, segment);
    for (const { rendition, push } of storage.loadParts()) this.#timeline.restorePart(rendition, push);
    for (const { epoch, rendition } of storage.loadInits()) this.#timeline.addInit(epoch, rendition);
    this.#tracks = storage.load("tracks");
    this.#unsettled = storage.load("unsettled") ?? [];
  }

  /** The broadcast whose media this is; 0 before the first. */
  get broadcast(): number {
    return this.#tracks?.broadcast ?? 0;
  }

  /** Names of the video renditions. */
  get qualities(): string[] {
    return (this.#tracks?.tracks ?? []).filter((track) => track.kind === "video").map((track) => track.name);
  }

  /** Ended epochs have segments still open. */
  get hasRemnants(): boolean {
    return this.#unsettled.length > 0;
  }

  /** Where a new epoch begins. In a new broadcast nothing changes before its tracks come: the old one's end stays playable until then. */
  openEpoch(connection: Connection): { nextMsn: number; declared: Declared | null; pdtFloor: Millis | null } {
    if (connection.broadcast !== this.broadcast || this.#tracks === null) return { nextMsn: 1, declared: null, pdtFloor: null };
    const pdtFloor = this.#timeline.pdtFloor();
    const { firstMsn } = this.#timeline.openEpoch(connection.epoch);
    this.#saveTimeline();
    const declared = { target_duration: this.#tracks.targetDuration, part_targets: this.#tracks.partTargets };
    return { nextMsn: firstMsn, declared, pdtFloor };
  }

  /** What a connection sends. The first one of a broadcast fixes what later ones must keep (PL1): 409 `declared_differs`. */
  setTracks(connection: Connection, request: TracksRequest): void {
    const partTargets = Object.fromEntries(request.renditions.map((track) => [track.name, track.part_target]));
    if (connection.broadcast !== this.broadcast) {
      this.#storage.clearBroadcast();
      this.#timeline = new Timeline();
      this.#timeline.openEpoch(connection.epoch);
      this.#unsettled = [];
      this.#storage.save("unsettled", []);
      this.#tracks = { broadcast: connection.broadcast, targetDuration: request.target_duration, tracks: request.renditions, partTargets };
    } else if (this.#tracks !== null) {
      if (this.#timeline.epochs.some((start) => start.epoch === connection.epoch && start.startedAt !== null)) {
        if (JSON.stringify(this.#tracks.tracks) === JSON.stringify(request.renditions)) return;
        throw new NovaError(409, "conflict", "this epoch announced other renditions before: publish again to change them");
      }
      const known = this.#tracks.partTargets;
      const differs = Object.entries(partTargets).some(([name, target]) => known[name] !== undefined && known[name] !== target);
      if (differs || request.target_duration !== this.#tracks.targetDuration) {
        throw new NovaError(
          409,
          "declared_differs",
          "this broadcast declared other durations with its first epoch, and they cannot change",
        );
      }
      this.#tracks = { ...this.#tracks, tracks: request.renditions, partTargets: { ...known, ...partTargets } };
    }
    this.#timeline.setTracks(
      connection.epoch,
      request.started_at,
      request.renditions.map((track) => track.name),
    );
    this.#storage.save("tracks", this.#tracks as BroadcastTracks);
    this.#saveTimeline();
  }

  /** The init segment of a rendition is in R2. Throws 409 `conflict` for other bytes than before. */
  addInit(epoch: number, rendition: string, digest: string): void {
    const known = this.#storage.loadInits().find((init) => init.epoch === epoch && init.rendition === rendition);
    if (known !== undefined && known.digest !== digest)
      throw new NovaError(409, "conflict", `init of ${rendition} exists with other bytes`);
    if (known === undefined) this.#storage.saveInit(epoch, rendition, digest);
    this.#timeline.addInit(epoch, rendition);
  }

  /** Keeps a part and its bytes. */
  addPart(epoch: number, rendition: string, push: PartPush, bytes: Uint8Array): { msn: number; part: number } {
    const target = this.#tracks?.partTargets[rendition] ?? 0;
    if (target > 0 && push.duration > target + PART_TOLERANCE) {
      throw new NovaError(422, "part_too_long", `part ${push.msn}.${push.part} lasts ${push.duration} s, past its part target (PL3)`);
    }
    const { outcome, completed } = this.#timeline.addPart(epoch, rendition, push);
    if (outcome === "stored") this.#storage.savePart(rendition, push, bytes);
    if (completed !== null) this.#storage.saveSegment(rendition, completed);
    return this.#timeline.newest(rendition);
  }

  /** Throws where a segment could not be listed: 409 and 404 as `commit` does, 422 `segment_too_long` (PL3), 422 `wrong_date` (PL6). */
  assertWritable(epoch: number, { rendition, msn, duration, pdt }: SegmentClaim, now: Millis): void {
    this.#timeline.assertWritable(epoch, rendition, msn);
    if (Math.round(duration) > this.targetDuration) {
      throw new NovaError(422, "segment_too_long", `segment ${msn} lasts ${duration} s, past the declared target duration (PL3)`);
    }
    const before = this.#timeline.listed(rendition).find((listed) => listed.msn === msn - 1);
    const earliest = before === undefined ? 0 : before.pdt + before.duration * 1000 - DATE_TOLERANCE_MS;
    if (pdt < earliest || pdt > now + MAX_AHEAD_MS) {
      throw new NovaError(422, "wrong_date", `segment ${msn} is dated before the one it follows, or a day ahead (PL6)`);
    }
  }

  /** A segment is in R2: lists it, and moves the window. */
  commit(rendition: string, segment: Omit<Segment, "parts">): void {
    const wasIndependent = this.#timeline.independent;
    for (const stored of this.#timeline.commit(rendition, segment)) this.#keep(stored.rendition, stored.segment);
    if (this.#timeline.independent !== wasIndependent) this.#saveTimeline();
    this.#slide();
  }

  /** An epoch is over: what it left open is settled next, by `settle`. */
  closeEpoch(epoch: number): void {
    if (this.#unsettled.includes(epoch) || this.#timeline.remnants(epoch).length === 0) return;
    this.#unsettled.push(epoch);
    this.#storage.save("unsettled", this.#unsettled);
  }

  /** Writes the segments that ended epochs left open to R2, so that no acknowledged part is lost; what has no parts becomes a gap. Rejects where R2 fails. */
  async settle(bucket: R2Bucket, giveUp: boolean): Promise<void> {
    const timeline = this.#timeline;
    for (const epoch of [...this.#unsettled]) {
      for (const remnant of timeline.remnants(epoch)) {
        const saved = remnant.parts > 0 && !giveUp ? await this.#save(bucket, epoch, remnant) : null;
        // A new broadcast may have begun while R2 was writing.
        if (this.#timeline !== timeline) return;
        const settled = timeline.settle(remnant, saved);
        if (settled !== null) this.#keep(settled.rendition, settled.segment);
      }
      this.#unsettled = this.#unsettled.filter((open) => open !== epoch);
      this.#storage.save("unsettled", this.#unsettled);
    }
    this.#slide();
  }

  /** Where a part's bytes are; null where it is one of the next to come. Throws 404 `part_not_found`. */
  readPart(address: PartAddress): PartBytes | null {
    const { broadcast, rendition, epoch, msn, part } = address;
    if (broadcast !== this.broadcast) throw partNotFound();
    const { complete, openParts } = this.#timeline.head(rendition);
    if (this.#timeline.epochAt(msn)?.epoch === epoch) {
      const bytes = this.#storage.readPart(rendition, msn, part);
      if (bytes !== null) return { kind: "bytes", bytes };
      const segment = msn <= complete ? this.#timeline.listed(rendition).find((listed) => listed.msn === msn) : undefined;
      const length = segment?.parts[part]?.size;
      if (segment !== undefined && length !== undefined) {
        const offset = segment.parts.slice(0, part).reduce((sum, before) => sum + before.size, 0);
        return { kind: "range", key: mediaPath(this.#streamId(), broadcast, rendition, segmentFile(epoch, msn)), offset, length };
      }
    }
    // The open segment of an ended epoch gets no more parts.
    const over = this.#unsettled.includes(this.#timeline.epochAt(msn)?.epoch ?? 0);
    const next = (msn === complete + 1 && part <= openParts + 1) || (msn === complete + 2 && part === 0);
    const current = this.#timeline.epochs.at(-1)?.epoch ?? 0;
    if (next && !over && (epoch === current || epoch === current + 1)) return null;
    throw partNotFound();
  }

  /** What to do with a request for a rendition's playlist. Throws 400 `invalid_directive`, 404 `rendition_not_found`, 404 `not_started`. */
  decideReload(rendition: string, query: ReloadQuery): ReloadDecision {
    this.#assertPlayable(rendition);
    return decideReload(this.#timeline.head(rendition), query, this.#tracks?.partTargets[rendition] ?? 1);
  }

  /** Whether a rendition's playlist holds what a query waits for. */
  isReached(rendition: string, query: ReloadQuery): boolean {
    return isReached(this.#timeline.head(rendition), query);
  }

  /** `EXT-X-TARGETDURATION` of the current broadcast, seconds; 0 before the first. */
  get targetDuration(): Seconds {
    return this.#tracks?.targetDuration ?? 0;
  }

  /** The text of a rendition's playlist, as a delta update where that is wanted and possible (PL11). Throws 404 `rendition_not_found` or `not_started`. */
  mediaPlaylist(rendition: string, state: PlaylistState, delta: boolean): string {
    this.#assertPlayable(rendition);
    const playlist = composeMediaPlaylist(this.#timeline, rendition, this.#facts(state));
    return encodeMediaPlaylist(playlist, delta && !state.ended ? countSkippable(playlist) : 0);
  }

  /** The text of the multivariant playlist. Throws 404 `not_started` until every rendition has a segment. */
  multivariantPlaylist(state: PlaylistState): string {
    const facts = this.#facts(state);
    if (facts.tracks.some((track) => this.#timeline.listed(track.name).length === 0)) throw notStarted();
    return encodeMultivariantPlaylist(composeMultivariantPlaylist(this.#timeline, facts));
  }

  #facts(state: PlaylistState): BroadcastFacts {
    if (this.#tracks === null) throw notStarted();
    return { streamId: this.#streamId(), ...this.#tracks, ...state };
  }

  #assertPlayable(rendition: string): void {
    if (this.#tracks === null) throw notStarted();
    if (!Object.hasOwn(this.#tracks.partTargets, rendition)) {
      throw new NovaError(404, "rendition_not_found", "this broadcast has no such rendition: see its multivariant playlist");
    }
    if (this.#timeline.listed(rendition).length === 0) throw notStarted();
  }

  async #save(bucket: R2Bucket, epoch: number, remnant: Remnant): Promise<{ size: number; digest: string }> {
    const bytes = this.#storage.readParts(remnant.rendition, remnant.msn, remnant.parts);
    const key = mediaPath(this.#streamId(), this.broadcast, remnant.rendition, segmentFile(epoch, remnant.msn));
    await bucket.put(key, bytes);
    return { size: bytes.length, digest: "" };
  }

  #keep(rendition: string, segment: Segment): void {
    this.#storage.saveSegment(rendition, segment);
    this.#storage.deletePartsBefore(rendition, segment.msn - PART_SEGMENTS);
  }

  #slide(): void {
    const window = Math.max(WINDOW_SECONDS, 3 * this.targetDuration);
    if (this.#timeline.slide(window).length === 0) return;
    this.#storage.deleteSegmentsBefore(this.#timeline.firstMsn);
    this.#saveTimeline();
  }

  #saveTimeline(): void {
    this.#storage.save("timeline", this.#timeline.snapshot());
  }
}

/** The refusal of a playlist that has nothing to list yet. */
export function notStarted(): NovaError {
  return new NovaError(404, "not_started", "nothing to play yet: the stream has not started, or starts in a moment");
}

/** The refusal of a part that is not there, and will not come. */
export function partNotFound(): NovaError {
  return new NovaError(404, "part_not_found", "no such part: it has left the live window, or never was");
}
