import { NovaError } from "../errors.ts";
import type { Seconds } from "../time.ts";
import type { Part, Segment } from "./segment.ts";

/** How far past the last complete segment a push may be: bounds what a confused origin can store. */
const MAX_SEGMENTS_AHEAD = 30;

/** A part as it arrives. */
export interface PartPush extends Part {
  msn: number;
  part: number;
}

/** Whether a push changed anything; the same bytes again do not. */
export type PushOutcome = "stored" | "repeated";

/** The live timeline of one rendition: complete segments, and the parts of those still open. Pushes may come in any order. */
export class RenditionTimeline {
  /** The first media sequence number this rendition can have. */
  readonly start: number;
  readonly #segments = new Map<number, Segment>();
  readonly #open = new Map<number, Map<number, Part>>();
  /** Every segment from the first up to this one is complete. */
  #head: number;

  constructor(start: number) {
    this.start = start;
    this.#head = start - 1;
  }

  /** The last complete segment before which none is missing; `start - 1` where there is none. */
  get head(): number {
    return this.#head;
  }

  /** The highest media sequence number of which anything has arrived. */
  get highest(): number {
    return Math.max(this.#head, ...this.#segments.keys(), ...this.#open.keys());
  }

  /** Stores a part. Throws 409 `conflict` for other bytes under the same number. */
  addPart(push: PartPush): PushOutcome {
    const { msn, part, duration, independent, size, digest } = push;
    const segment = this.#segments.get(msn);
    const known = segment?.parts[part] ?? this.#open.get(msn)?.get(part);
    if (known !== undefined) {
      if (known.digest === digest) return "repeated";
      throw new NovaError(409, "conflict", `part ${msn}.${part} exists with other bytes`);
    }
    // Parts of a complete segment are of use until they make up the whole of it.
    if (segment === undefined ? msn <= this.#head : segment.gap || segment.parts.length > 0) return "repeated";
    this.#refuseFarAhead(msn);
    let parts = this.#open.get(msn);
    if (parts === undefined) {
      parts = new Map();
      this.#open.set(msn, parts);
    }
    parts.set(part, { duration, independent, size, digest });
    if (segment !== undefined) this.restore(this.#withParts(segment));
    return "stored";
  }

  /** Stores a complete segment, with the parts that were pushed before it. Throws 409 `conflict` for other bytes. */
  commit(segment: Omit<Segment, "parts">): PushOutcome {
    const known = this.#segments.get(segment.msn);
    if (known !== undefined) {
      if (known.digest === segment.digest) return "repeated";
      throw new NovaError(409, "conflict", `segment ${segment.msn} exists with other bytes`);
    }
    if (segment.msn <= this.#head || segment.msn < this.start) return "repeated";
    this.#refuseFarAhead(segment.msn);
    this.restore(this.#withParts({ ...segment, parts: [] }));
    return "stored";
  }

  /** Puts back a segment that was stored before, and drops the open parts it completes. */
  restore(segment: Segment): void {
    this.#segments.set(segment.msn, segment);
    if (segment.gap || segment.parts.length > 0) this.#open.delete(segment.msn);
    while (this.#segments.has(this.#head + 1)) this.#head += 1;
  }

  /** After an eviction the segments before the first stored one are gone on purpose: the head starts there. */
  resumeAt(firstMsn: number): void {
    this.#head = Math.max(this.#head, firstMsn - 1);
    while (this.#segments.has(this.#head + 1)) this.#head += 1;
  }

  segment(msn: number): Segment | undefined {
    return this.#segments.get(msn);
  }

  /** The parts of an open segment, from the first up to the first missing one. */
  openParts(msn: number): Part[] {
    const parts: Part[] = [];
    const open = this.#open.get(msn);
    for (let part = open?.get(0); part !== undefined; part = open?.get(parts.length)) parts.push(part);
    return parts;
  }

  /** Complete segments from `firstMsn` to the head, none missing between. */
  listed(firstMsn: number): Segment[] {
    const segments: Segment[] = [];
    for (let msn = Math.max(firstMsn, this.start); msn <= this.#head; msn++) {
      const segment = this.#segments.get(msn);
      if (segment !== undefined) segments.push(segment);
    }
    return segments;
  }

  /** The media sequence number from which the listed segments fill `window` seconds, at least. */
  windowStart(window: Seconds): number {
    let total = 0;
    for (let msn = this.#head; msn >= this.start; msn--) {
      const segment = this.#segments.get(msn);
      if (segment === undefined) return msn + 1;
      total += segment.duration;
      if (total >= window) return msn;
    }
    return this.start;
  }

  /** Forgets segments before `firstMsn`; returns them, in order. */
  forgetBefore(firstMsn: number): Segment[] {
    const gone = [...this.#segments.values()].filter(({ msn }) => msn < firstMsn && msn <= this.#head).sort((a, b) => a.msn - b.msn);
    for (const { msn } of gone) {
      this.#segments.delete(msn);
      this.#open.delete(msn);
    }
    return gone;
  }

  /** A segment with the parts that were pushed of it, where they make up the whole. */
  #withParts(segment: Segment): Segment {
    const parts = segment.gap ? [] : this.openParts(segment.msn);
    const whole = parts.reduce((size, part) => size + part.size, 0) === segment.size;
    return whole ? { ...segment, parts } : segment;
  }

  #refuseFarAhead(msn: number): void {
    if (msn > this.#head + MAX_SEGMENTS_AHEAD) {
      throw new NovaError(
        409,
        "too_far_ahead",
        `segment ${msn} is more than ${MAX_SEGMENTS_AHEAD} past the last complete one, ${this.#head}`,
      );
    }
  }
}
