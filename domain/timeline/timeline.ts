import { NovaError } from "../errors.ts";
import { type Millis, type Seconds, totalDuration } from "../time.ts";
import type { LiveHead } from "./reload.ts";
import { type PartPush, type PushOutcome, RenditionTimeline } from "./rendition-timeline.ts";
import type { EpochStart, Part, Segment } from "./segment.ts";

/** What is kept of a timeline, to rebuild it. */
export interface TimelineSnapshot {
  /** The first media sequence number still held. */
  firstMsn: number;
  epochs: EpochStart[];
  /** Renditions by name, with the media sequence number they start at. */
  renditions: { name: string; start: number }[];
  /** Every segment so far begins with an IDR (PL4). */
  independent: boolean;
}

/** An open segment of an epoch that has ended: its parts are all there will ever be. */
export interface Remnant {
  rendition: string;
  msn: number;
  /** How many parts stand in an unbroken row from the first. 0: nothing can be saved, it becomes a gap. */
  parts: number;
}

/** The newest part of one broadcast's live window, all renditions. Knows no clock, no bytes and no storage: its owner keeps what it returns. */
export class Timeline {
  #firstMsn = 1;
  #epochs: EpochStart[] = [];
  #independent = true;
  readonly #renditions = new Map<string, RenditionTimeline>();
  readonly #initialised = new Set<string>();
  #hasChanged = false;

  /** Rebuilds a timeline from what was kept of it; `restoreSegment`, `restorePart` and `addInit` follow. */
  static restore(snapshot: TimelineSnapshot): Timeline {
    const timeline = new Timeline();
    timeline.#firstMsn = snapshot.firstMsn;
    timeline.#epochs = structuredCopy(snapshot.epochs);
    timeline.#independent = snapshot.independent;
    for (const { name, start } of snapshot.renditions) {
      const rendition = new RenditionTimeline(start);
      rendition.resumeAt(snapshot.firstMsn);
      timeline.#renditions.set(name, rendition);
    }
    return timeline;
  }

  /** Whether the snapshot differs from the last that was taken. */
  get hasChanged(): boolean {
    return this.#hasChanged;
  }

  snapshot(): TimelineSnapshot {
    this.#hasChanged = false;
    return {
      firstMsn: this.#firstMsn,
      epochs: structuredCopy(this.#epochs),
      renditions: [...this.#renditions].map(([name, rendition]) => ({ name, start: rendition.start })),
      independent: this.#independent,
    };
  }

  restoreSegment(rendition: string, segment: Segment): void {
    this.#renditions.get(rendition)?.restore(segment);
  }

  restorePart(rendition: string, push: PartPush): void {
    this.#renditions.get(rendition)?.addPart(push);
  }

  get firstMsn(): number {
    return this.#firstMsn;
  }

  get epochs(): readonly EpochStart[] {
    return this.#epochs;
  }

  /** Whether every segment so far begins with an IDR: what `EXT-X-INDEPENDENT-SEGMENTS` promises. */
  get independent(): boolean {
    return this.#independent;
  }

  /** The number after the highest of which anything has arrived, so that none is ever used for other bytes (PL5). */
  nextMsn(): number {
    let highest = 0;
    for (const rendition of this.#renditions.values()) highest = Math.max(highest, rendition.highest);
    return highest + 1;
  }

  /** The end of the newest segment on the wall clock: the next epoch may not begin earlier (PL6). Null in an empty timeline. */
  pdtFloor(): Millis | null {
    let floor: Millis | null = null;
    for (const name of this.#renditions.keys()) {
      const last = this.listed(name).at(-1);
      if (last !== undefined) floor = Math.max(floor ?? 0, Math.ceil(last.pdt + last.duration * 1000));
    }
    return floor;
  }

  /** Opens an epoch at `nextMsn()`, or at 1; once. An epoch before it that brought nothing is forgotten. */
  openEpoch(epoch: number): EpochStart {
    const known = this.#epochs.find((open) => open.epoch === epoch);
    if (known !== undefined) return known;
    const firstMsn = this.nextMsn();
    const start: EpochStart = { epoch, firstMsn, startedAt: null, renditions: [], origin: null, breaks: [] };
    this.#epochs = [...this.#epochs.filter((earlier) => earlier.firstMsn < firstMsn), start];
    this.#hasChanged = true;
    return start;
  }

  /** Says which renditions an epoch carries. A rendition that is new in the broadcast starts with it. */
  setTracks(epoch: number, startedAt: Millis, renditions: string[]): void {
    const start = this.#epoch(epoch);
    start.startedAt = startedAt;
    start.renditions = [...renditions];
    this.#hasChanged = true;
    for (const name of renditions) {
      if (!this.#renditions.has(name)) this.#renditions.set(name, new RenditionTimeline(start.firstMsn));
    }
  }

  /** The init segment of a rendition's epoch is fetchable: its segments may be listed. */
  addInit(epoch: number, rendition: string): void {
    this.#initialised.add(`${epoch}/${rendition}`);
  }

  /** Stores a part. Returns its segment too, where that was complete before and has all its parts now: to be kept again. */
  addPart(epoch: number, rendition: string, push: PartPush): { outcome: PushOutcome; completed: Segment | null } {
    const timeline = this.#writable(epoch, rendition, push.msn);
    const outcome = timeline.addPart(push);
    const segment = timeline.segment(push.msn);
    const completed = outcome === "stored" && segment !== undefined && segment.parts.length > 0 ? segment : null;
    if (completed !== null) this.#noteIndependence(completed);
    return { outcome, completed };
  }

  /**
   * Stores a complete segment. Renditions of the broadcast that this epoch does not carry get a gap beside it, so that all
   * playlists go on together (PL7, PL12). Returns what was stored, to be kept.
   */
  commit(rendition: string, segment: Omit<Segment, "parts">): { rendition: string; segment: Segment }[] {
    const timeline = this.#writable(segment.epoch, rendition, segment.msn);
    if (timeline.commit(segment) === "repeated") return [];
    const stored = [{ rendition, segment: timeline.segment(segment.msn) as Segment }];
    const carried = this.#epoch(segment.epoch).renditions;
    for (const [name, other] of this.#renditions) {
      if (carried.includes(name) || other.segment(segment.msn) !== undefined || segment.msn <= other.head) continue;
      other.commit({ ...segment, time: null, size: 0, digest: "", gap: true });
      stored.push({ rendition: name, segment: other.segment(segment.msn) as Segment });
    }
    for (const { segment: kept } of stored) this.#noteIndependence(kept);
    this.#noteTimes(segment.msn);
    return stored;
  }

  /** What an ended epoch left open, in every rendition up to the last number that any of them reached. */
  remnants(epoch: number): Remnant[] {
    const start = this.#epochs.find((known) => known.epoch === epoch);
    if (start === undefined) return [];
    const next = this.#epochs.find((known) => known.firstMsn > start.firstMsn);
    const last = next === undefined ? this.nextMsn() - 1 : next.firstMsn - 1;
    const remnants: Remnant[] = [];
    for (const [name, rendition] of this.#renditions) {
      for (let msn = Math.max(start.firstMsn, rendition.head + 1); msn <= last; msn++) {
        if (rendition.segment(msn) !== undefined) continue;
        remnants.push({ rendition: name, msn, parts: rendition.openParts(msn).length });
      }
    }
    return remnants;
  }

  /** Settles a remnant: as the segment that its parts make, or as a gap of the length that its neighbours have. */
  settle(remnant: Remnant, saved: Pick<Segment, "size" | "digest" | "time"> | null): { rendition: string; segment: Segment } | null {
    const rendition = this.#renditions.get(remnant.rendition);
    if (rendition === undefined || rendition.segment(remnant.msn) !== undefined) return null;
    const parts = rendition.openParts(remnant.msn).slice(0, remnant.parts);
    const before = rendition.segment(remnant.msn - 1);
    const epoch = this.epochAt(remnant.msn);
    if (epoch === undefined) return null;
    const segment: Segment = {
      msn: remnant.msn,
      epoch: epoch.epoch,
      duration: saved === null ? this.#neighbourDuration(remnant) : totalDuration(parts),
      pdt:
        before !== undefined && before.epoch === epoch.epoch ? before.pdt + before.duration * 1000 : (epoch.startedAt ?? before?.pdt ?? 0),
      time: saved?.time ?? null,
      size: saved?.size ?? 0,
      digest: saved?.digest ?? "",
      gap: saved === null,
      parts: saved === null ? [] : parts,
    };
    rendition.restore(segment);
    this.#noteTimes(segment.msn);
    return { rendition: remnant.rendition, segment };
  }

  /** The epoch that a media sequence number belongs to. */
  epochAt(msn: number): EpochStart | undefined {
    return this.#epochs.findLast((epoch) => epoch.firstMsn <= msn);
  }

  /** The newest part that a viewer can fetch, or the last segment where it has none. */
  newest(rendition: string): { msn: number; part: number } {
    const { complete, openParts, partsOf } = this.head(rendition);
    return openParts > 0 ? { msn: complete + 1, part: openParts - 1 } : { msn: complete, part: Math.max(0, partsOf(complete) - 1) };
  }

  /** The segments that a playlist may list: complete, fetchable with their init, none missing between. */
  listed(rendition: string): Segment[] {
    const segments = this.#renditions.get(rendition)?.listed(this.#firstMsn) ?? [];
    const blocked = segments.findIndex(({ epoch, gap }) => !gap && !this.#initialised.has(`${epoch}/${rendition}`));
    return blocked < 0 ? segments : segments.slice(0, blocked);
  }

  /** The segment after the listed ones, as far as its parts are fetchable; null where nothing of it is. */
  open(rendition: string): { msn: number; epoch: EpochStart; parts: Part[] } | null {
    const timeline = this.#renditions.get(rendition);
    const msn = (this.listed(rendition).at(-1)?.msn ?? Math.max(this.#firstMsn, timeline?.start ?? 1) - 1) + 1;
    const epoch = this.epochAt(msn);
    const parts = timeline?.openParts(msn) ?? [];
    if (epoch === undefined || parts.length === 0 || !this.#initialised.has(`${epoch.epoch}/${rendition}`)) return null;
    return { msn, epoch, parts };
  }

  /** How far a rendition has got, for those who wait for more. */
  head(rendition: string): LiveHead {
    const listed = this.listed(rendition);
    const first = Math.max(this.#firstMsn, this.#renditions.get(rendition)?.start ?? 1);
    return {
      complete: listed.at(-1)?.msn ?? first - 1,
      openParts: this.open(rendition)?.parts.length ?? 0,
      partsOf: (msn) => listed.find((segment) => segment.msn === msn)?.parts.length ?? 0,
    };
  }

  /** How many `EXT-X-DISCONTINUITY` tags stand before a media sequence number, at which a playlist begins (PL7). */
  discontinuitySequence(firstMsn: number): number {
    return this.#epochs.slice(1).filter((epoch) => epoch.firstMsn < firstMsn).length;
  }

  /** The first media sequence number that a rendition can have; null where it is unknown. */
  startOf(rendition: string): number | null {
    return this.#renditions.get(rendition)?.start ?? null;
  }

  /**
   * Moves the window's start so that `window` seconds stay listed in the rendition that lags most; all renditions start at
   * the same number. Returns the segments that left, by rendition.
   */
  slide(window: Seconds): { rendition: string; segments: Segment[] }[] {
    let start = Number.POSITIVE_INFINITY;
    for (const rendition of this.#renditions.values()) start = Math.min(start, rendition.windowStart(window));
    if (!Number.isFinite(start) || start <= this.#firstMsn) return [];
    this.#firstMsn = start;
    this.#hasChanged = true;
    return [...this.#renditions].map(([name, rendition]) => ({ rendition: name, segments: rendition.forgetBefore(start) }));
  }

  #noteIndependence(segment: Segment): void {
    if (!this.#independent || segment.parts[0]?.independent !== false) return;
    this.#independent = false;
    this.#hasChanged = true;
  }

  /** Keeps what a segment says of its epoch's clock, before it is forgotten. */
  #noteTimes(msn: number): void {
    const epoch = this.epochAt(msn);
    const reference = this.#renditions.get(epoch?.renditions[0] ?? "");
    if (epoch === undefined || reference === undefined) return;
    for (const number of [msn, msn + 1]) {
      const segment = reference.segment(number);
      if (segment === undefined || segment.time === null || segment.epoch !== epoch.epoch) continue;
      const at = segment.time.start / segment.time.timescale;
      if (epoch.origin === null) {
        epoch.origin = number === epoch.firstMsn ? at : at - (segment.pdt - (epoch.startedAt ?? segment.pdt)) / 1000;
        this.#hasChanged = true;
      }
      const followsGap = epoch.renditions.some((name) => this.#renditions.get(name)?.segment(number - 1)?.gap);
      if (number === epoch.firstMsn || !followsGap || epoch.breaks.some((known) => known.msn === number)) continue;
      epoch.breaks = [...epoch.breaks, { msn: number, at }].sort((a, b) => a.msn - b.msn);
      this.#hasChanged = true;
    }
  }

  #neighbourDuration(remnant: Remnant): Seconds {
    for (const [name, rendition] of this.#renditions) {
      if (name === remnant.rendition) continue;
      const segment = rendition.segment(remnant.msn);
      if (segment !== undefined) return segment.duration;
      const parts = rendition.openParts(remnant.msn);
      if (parts.length > 0) return totalDuration(parts);
    }
    return this.#renditions.get(remnant.rendition)?.segment(remnant.msn - 1)?.duration ?? 1;
  }

  #epoch(epoch: number): EpochStart {
    const start = this.#epochs.find((known) => known.epoch === epoch);
    if (start === undefined) throw new NovaError(409, "fenced", `epoch ${epoch} is not open`);
    return start;
  }

  /** Throws 409 `fenced`, 404 `rendition_not_found` or 409 `msn_taken` where an epoch may not write a segment. */
  assertWritable(epoch: number, rendition: string, msn: number): void {
    this.#writable(epoch, rendition, msn);
  }

  #writable(epoch: number, rendition: string, msn: number): RenditionTimeline {
    const start = this.#epoch(epoch);
    const timeline = this.#renditions.get(rendition);
    if (timeline === undefined || !start.renditions.includes(rendition)) {
      throw new NovaError(404, "rendition_not_found", `epoch ${epoch} announced no rendition ${rendition}: PUT its tracks first`);
    }
    if (msn < start.firstMsn)
      throw new NovaError(409, "msn_taken", `epoch ${epoch} starts at segment ${start.firstMsn}, ${msn} is not its own`);
    return timeline;
  }
}

function structuredCopy(epochs: EpochStart[]): EpochStart[] {
  return epochs.map((epoch) => ({ ...epoch, renditions: [...epoch.renditions], breaks: [...epoch.breaks] }));
}
