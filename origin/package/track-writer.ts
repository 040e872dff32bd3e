import { encodeChunk } from "./chunk.ts";
import type { FollowingCutTarget } from "./following-segmenter.ts";
import type { CutPart, CutSegment } from "./open-segment.ts";
import type { PackagerSink } from "./packager.ts";

/** Writes what a segmenter cut as bytes, and keeps a segment's parts until the segment is whole. */
export class TrackWriter implements FollowingCutTarget {
  readonly #rendition: string;
  readonly #trackId: number;
  readonly #origin: () => number;
  readonly #sink: PackagerSink;
  #parts: Buffer[] = [];
  #sequenceNumber = 0;

  /** `origin` gives the time that segment starts count from, seconds. */
  constructor(rendition: string, trackId: number, origin: () => number, sink: PackagerSink) {
    this.#rendition = rendition;
    this.#trackId = trackId;
    this.#origin = origin;
    this.#sink = sink;
  }

  onPart(part: CutPart): void {
    this.#sequenceNumber += 1;
    const bytes = encodeChunk({ trackId: this.#trackId, sequenceNumber: this.#sequenceNumber, samples: part.samples });
    this.#parts.push(bytes);
    const { msn, part: index, duration, independent } = part;
    this.#sink.onPart({ rendition: this.#rendition, msn, part: index, duration, independent, bytes });
  }

  onSegment(segment: CutSegment): void {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    const { msn, duration, start } = segment;
    this.#sink.onSegment({ rendition: this.#rendition, msn, duration, start: start - this.#origin(), bytes });
  }

  onMissing({ msn, start, duration }: { msn: number; start: number; duration: number }): void {
    this.#sink.onGap({ rendition: this.#rendition, msn, duration, start: start - this.#origin() });
  }
}
