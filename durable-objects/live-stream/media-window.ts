import type { Connection } from "../../domain/broadcast/broadcast.ts";
import { parseMediaTime, type Ticks } from "../../domain/cmaf/media-time.ts";
import { NovaError } from "../../domain/errors.ts";
import { mediaPath, segmentFile } from "../../domain/media-address.ts";
import type { Declared, Track, TracksRequest } from "../../domain/protocol/origin-link.ts";
import { type Millis, type Seconds, totalDuration } from "../../domain/time.ts";
import { computeOffer } from "../../domain/timeline/offered.ts";
import type { PartPush } from "../../domain/timeline/rendition-timeline.ts";
import type { MediaTime, Segment } from "../../domain/timeline/segment.ts";
import { type Remnant, Timeline } from "../../domain/timeline/timeline.ts";
import { Archive } from "./archive.ts";
import type { BroadcastTracks, InitRow, MediaStorage } from "./media-storage.ts";
import type { StreamConfig } from "./storage.ts";

/** What of the window is held in memory, at least: the live edge, and all that a delta update may have to list. */
const TAIL_SECONDS: Seconds = 60;
/** `CAN-SKIP-UNTIL` is six target durations (PL2). */
const TAIL_TARGET_DURATIONS = 8;
/** Rounding that a part's duration may show. */
const PART_TOLERANCE: Seconds = 0.001;
/** How far a segment's date may lie before the end of the one before it: clocks are rounded. */
const DATE_TOLERANCE_MS: Millis = 500;
const MAX_AHEAD_MS: Millis = 86_400_000;
/** Bytes of parts are kept for this many complete segments; older ones are cut from the segment in R2. */
const PART_SEGMENTS = 3;

/** What a segment says of itself. */
export interface SegmentClaim {
  rendition: string;
  msn: number;
  duration: Seconds;
  pdt: Millis;
}

/** The media of one broadcast: its timeline, its archive, and the storage behind both, from which it is rebuilt whenever the object wakes. */
export class MediaWindow {
  readonly broadcast: number;
  readonly storage: MediaStorage;
  readonly timeline: Timeline;
  readonly archive: Archive;
  readonly #streamId: string;
  #tracks: BroadcastTracks;
  #inits: InitRow[];
  #unsettled: number[];

  private constructor(broadcast: number, storage: MediaStorage, streamId: string, timeline: Timeline, tracks: BroadcastTracks) {
    this.broadcast = broadcast;
    this.storage = storage;
    this.#streamId = streamId;
    this.timeline = timeline;
    this.#tracks = tracks;
    this.archive = new Archive(storage, tracks.record);
    this.#inits = storage.loadInits();
    this.#unsettled = storage.load("unsettled") ?? [];
  }

  /** Rebuilds a broadcast's media from what is stored; null where nothing is. */
  static restore(broadcast: number, storage: MediaStorage, streamId: string): MediaWindow | null {
    const snapshot = storage.load("timeline");
    const tracks = storage.load("tracks");
    if (snapshot === null || tracks === null) return null;
    const timeline = Timeline.restore(snapshot);
    for (const { rendition, segment } of storage.loadSegments()) timeline.restoreSegment(rendition, segment);
    for (const { rendition, push } of storage.loadParts()) timeline.restorePart(rendition, push);
    const media = new MediaWindow(broadcast, storage, streamId, timeline, tracks);
    for (const { epoch, rendition } of media.#inits) timeline.addInit(epoch, rendition);
    return media;
  }

  /** A new broadcast, by its first connection. What the stream's settings say now holds to its end. */
  static begin(connection: Connection, request: TracksRequest, storage: MediaStorage, config: StreamConfig): MediaWindow {
    const timeline = new Timeline();
    timeline.openEpoch(connection.epoch);
    const tracks: BroadcastTracks = {
      targetDuration: request.target_duration,
      tracks: request.renditions,
      tracksOfEpochs: {},
      reason: null,
      partTargets: partTargetsOf(request),
      parts: config.latencyMode !== "standard",
      dvrWindowSeconds: config.dvrWindowSeconds,
      record: config.record,
    };
    const media = new MediaWindow(connection.broadcast, storage, config.id, timeline, tracks);
    media.#announce(connection, request);
    return media;
  }

  /** What the broadcast declared, and the settings that hold for it. */
  get tracks(): BroadcastTracks {
    return this.#tracks;
  }

  /** The tracks that viewers can choose from now. */
  get offered(): Track[] {
    const { tracksOfEpochs } = this.#tracks;
    const isVideo = (epoch: number, name: string) =>
      (tracksOfEpochs[epoch] ?? []).some((track) => track.kind === "video" && track.name === name);
    const offer = computeOffer(this.timeline, isVideo);
    // While a connection that follows one without media has not said anything.
    if (offer === null) return this.#tracks.tracks;
    return (this.#tracks.tracksOfEpochs[offer.epoch] ?? []).filter(({ name }) => offer.renditions.includes(name));
  }

  /** Names of all renditions that it has had. */
  get renditions(): string[] {
    return Object.keys(this.#tracks.partTargets);
  }

  /** Ended epochs have segments still open. */
  get hasRemnants(): boolean {
    return this.#unsettled.length > 0;
  }

  /** Whether an epoch is over, and will get no more parts. */
  isClosing(epoch: number): boolean {
    return this.#unsettled.includes(epoch);
  }

  /** Where the next connection to this broadcast begins. */
  openEpoch(connection: Connection): { nextMsn: number; declared: Declared; pdtFloor: Millis | null } {
    const pdtFloor = this.timeline.pdtFloor();
    const { firstMsn } = this.timeline.openEpoch(connection.epoch);
    this.#saveTimeline();
    const declared = { target_duration: this.#tracks.targetDuration, part_targets: this.#tracks.partTargets };
    return { nextMsn: firstMsn, declared, pdtFloor };
  }

  /** What a later connection sends. It must keep what the first declared (PL1): 409 `declared_differs`. */
  setTracks(connection: Connection, request: TracksRequest): void {
    if (this.timeline.epochs.some((start) => start.epoch === connection.epoch && start.startedAt !== null)) {
      if (JSON.stringify(this.#tracks.tracks) === JSON.stringify(request.renditions)) return;
      throw new NovaError(409, "conflict", "this epoch announced other renditions before: publish again to change them");
    }
    const known = this.#tracks.partTargets;
    const partTargets = partTargetsOf(request);
    const differs = Object.entries(partTargets).some(([name, target]) => known[name] !== undefined && known[name] !== target);
    if (differs || request.target_duration !== this.#tracks.targetDuration) {
      throw new NovaError(409, "declared_differs", "this broadcast declared other durations with its first epoch, and they cannot change");
    }
    const reason = request.reason ?? "input_changed";
    this.#tracks = { ...this.#tracks, tracks: request.renditions, reason, partTargets: { ...known, ...partTargets } };
    this.#announce(connection, request);
  }

  /** The init segment of a rendition is in R2. Throws 409 `conflict` for other bytes than before. */
  addInit(init: InitRow): void {
    const { epoch, rendition, digest } = init;
    const known = this.#inits.find((other) => other.epoch === epoch && other.rendition === rendition);
    if (known !== undefined && known.digest !== digest)
      throw new NovaError(409, "conflict", `init of ${rendition} exists with other bytes`);
    if (known === undefined) {
      this.storage.saveInit(init);
      this.#inits.push(init);
    }
    this.timeline.addInit(epoch, rendition);
  }

  /** Keeps a part and its bytes. Throws 422 `part_too_long`. */
  addPart(epoch: number, rendition: string, push: PartPush, bytes: Uint8Array): { msn: number; part: number } {
    const target = this.#tracks.partTargets[rendition] ?? 0;
    if (target > 0 && push.duration > target + PART_TOLERANCE) {
      throw new NovaError(422, "part_too_long", `part ${push.msn}.${push.part} lasts ${push.duration} s, past its part target (PL3)`);
    }
    const { outcome, completed } = this.timeline.addPart(epoch, rendition, push);
    if (outcome === "stored") this.storage.savePart(rendition, push, bytes);
    if (completed !== null) this.storage.saveSegment(rendition, completed);
    if (this.timeline.hasChanged) this.#saveTimeline();
    return this.timeline.newest(rendition);
  }

  /** Throws where a segment could not be listed: 409 and 404 as `commit` does, 422 `segment_too_long` (PL3), 422 `wrong_date` (PL6). */
  assertWritable(epoch: number, { rendition, msn, duration, pdt }: SegmentClaim, now: Millis): void {
    this.timeline.assertWritable(epoch, rendition, msn);
    if (Math.round(duration) > this.#tracks.targetDuration) {
      throw new NovaError(422, "segment_too_long", `segment ${msn} lasts ${duration} s, past the declared target duration (PL3)`);
    }
    const before = this.timeline.listed(rendition).find((listed) => listed.msn === msn - 1);
    const earliest = before === undefined ? 0 : before.pdt + before.duration * 1000 - DATE_TOLERANCE_MS;
    if (pdt < earliest || pdt > now + MAX_AHEAD_MS) {
      throw new NovaError(422, "wrong_date", `segment ${msn} is dated before the one it follows, or a day ahead (PL6)`);
    }
  }

  /** A segment is in R2: lists it, and moves the window. */
  commit(rendition: string, { time, ...claim }: Omit<Segment, "parts" | "time"> & { time: Ticks | null }, now: Millis): void {
    const segment = { ...claim, time: claim.gap ? null : (this.#mediaTime(claim.epoch, rendition, time) ?? this.#timeByDate(claim)) };
    for (const stored of this.timeline.commit(rendition, segment)) this.#keep(stored.rendition, stored.segment);
    this.#slide(now);
    if (this.timeline.hasChanged) this.#saveTimeline();
  }

  /** An epoch is over: what it left open is settled next, by `settle`. */
  closeEpoch(epoch: number): void {
    if (this.#unsettled.includes(epoch) || this.timeline.remnants(epoch).length === 0) return;
    this.#unsettled.push(epoch);
    this.storage.save("unsettled", this.#unsettled);
  }

  /** Writes the segments that ended epochs left open to R2, so that no acknowledged part is lost; what has no parts becomes a gap. Rejects where R2 fails. */
  async settle(bucket: R2Bucket, giveUp: boolean): Promise<void> {
    for (const epoch of [...this.#unsettled]) {
      for (const remnant of this.timeline.remnants(epoch)) {
        // Without its init segment nobody can play it, and no playlist could go on behind it.
        const isPlayable = this.#inits.some((init) => init.epoch === epoch && init.rendition === remnant.rendition);
        const saved = remnant.parts > 0 && isPlayable && !giveUp ? await this.#save(bucket, epoch, remnant) : null;
        const settled = this.timeline.settle(remnant, saved);
        if (settled !== null) this.#keep(settled.rendition, settled.segment);
      }
      this.#unsettled = this.#unsettled.filter((open) => open !== epoch);
      this.storage.save("unsettled", this.#unsettled);
    }
    this.#slide(Date.now());
    if (this.timeline.hasChanged) this.#saveTimeline();
  }

  async #save(bucket: R2Bucket, epoch: number, remnant: Remnant): Promise<Pick<Segment, "size" | "digest" | "time">> {
    const bytes = this.storage.readParts(remnant.rendition, remnant.msn, remnant.parts);
    await bucket.put(mediaPath(this.#streamId, this.broadcast, remnant.rendition, segmentFile(epoch, remnant.msn)), bytes);
    return { size: bytes.length, digest: "", time: this.#mediaTime(epoch, remnant.rendition, parseMediaTime(bytes)) };
  }

  /** A segment's place on its track's clock; the timescale comes from the epoch's init segment. Null where the bytes do not say. */
  #mediaTime(epoch: number, rendition: string, ticks: Ticks | null): MediaTime | null {
    const timescale = this.#inits.find((init) => init.epoch === epoch && init.rendition === rendition)?.timescale ?? null;
    return ticks === null || timescale === null ? null : { ...ticks, timescale };
  }

  /** The same by the segment's date, in milliseconds. */
  #timeByDate({ epoch, pdt, duration }: Pick<Segment, "epoch" | "pdt" | "duration">): MediaTime {
    const startedAt = this.timeline.epochs.find((start) => start.epoch === epoch)?.startedAt ?? pdt;
    return { start: Math.max(0, Math.round(pdt - startedAt)), duration: Math.round(duration * 1000), timescale: 1000 };
  }

  #announce(connection: Connection, request: TracksRequest): void {
    const names = request.renditions.map((track) => track.name);
    this.#tracks = { ...this.#tracks, tracksOfEpochs: { ...this.#tracks.tracksOfEpochs, [connection.epoch]: request.renditions } };
    this.timeline.setTracks(connection.epoch, request.started_at, names);
    this.storage.save("tracks", this.#tracks);
    this.#saveTimeline();
  }

  #keep(rendition: string, segment: Segment): void {
    this.storage.saveSegment(rendition, segment);
    this.storage.deletePartsBefore(rendition, segment.msn - PART_SEGMENTS);
  }

  /** Moves the tail, and the window behind it. */
  #slide(now: Millis): void {
    const { targetDuration, dvrWindowSeconds } = this.#tracks;
    const left = this.timeline.slide(Math.max(TAIL_SECONDS, TAIL_TARGET_DURATIONS * targetDuration));
    if (left.length === 0) return;
    for (const { rendition, segments } of left) for (const segment of segments) this.archive.append(rendition, segment);
    const { firstMsn } = this.timeline;
    // A rendition that was there from the start has every segment.
    const whole = left.find(({ rendition }) => this.timeline.startOf(rendition) === 1) ?? left[0];
    if (whole !== undefined) {
      const tail = totalDuration(this.timeline.listed(whole.rendition));
      this.archive.trim(whole.rendition, totalDuration(whole.segments), firstMsn, tail, dvrWindowSeconds);
    }
    this.storage.deleteSegmentsBefore(firstMsn);
    if (!this.#tracks.record) this.#noteLeft(now);
  }

  /** Notes what has left the window, at most once a minute. */
  #noteLeft(now: Millis): void {
    const { swept, left } = this.storage.load("sweep") ?? { swept: 1, left: [] };
    if ((left.at(-1)?.at ?? 0) > now - 60_000) return;
    this.storage.save("sweep", { swept, left: [...left, { msn: this.archive.firstMsn, at: now }] });
  }

  #saveTimeline(): void {
    this.storage.save("timeline", this.timeline.snapshot());
  }
}

function partTargetsOf(request: TracksRequest): Record<string, number> {
  return Object.fromEntries(request.renditions.map((track) => [track.name, track.part_target]));
}
