import { fetchMediaPlaylist, type ListedSegment } from "./media-playlist.ts";

const SEGMENT_SECONDS = 2;
const PARTS_PER_SEGMENT = 4;
/** A stream may be so many segments behind the clock before it counts as lost. */
const TOLERATED_SEGMENTS = 1;

/** Follows one rendition's playlist, and counts what it never offers. Look at least each four seconds. */
export class LossAudit {
  readonly #url: string;
  /** Lost parts of each segment. */
  readonly #lost = new Map<number, number>();
  #first: { msn: number; at: number } | null = null;
  #last: { msn: number; at: number } | null = null;

  /** `url` of the media playlist. */
  constructor(url: string) {
    this.#url = url;
  }

  /** Takes note of what is listed now. The first look begins the time that is audited, each further one extends it. */
  async look(): Promise<void> {
    const playlist = await fetchMediaPlaylist(this.#url);
    const segments = playlist?.segments ?? [];
    const at = performance.now();
    const newest = segments.at(-1)?.msn ?? 0;
    this.#first ??= { msn: newest, at };
    this.#last = { msn: Math.max(newest, this.#last?.msn ?? 0), at };
    let untilEnd = playlist?.openSeconds ?? 0;
    for (const segment of segments.toReversed()) {
      untilEnd += segment.seconds;
      const listsParts = untilEnd <= (playlist?.partsWindow ?? 0);
      const lost = segment.isGap ? PARTS_PER_SEGMENT : listsParts ? missingParts(segment, playlist?.partTarget ?? null) : null;
      if (lost !== null) this.#lost.set(segment.msn, lost);
      else if (!this.#lost.has(segment.msn)) this.#lost.set(segment.msn, 0);
    }
  }

  /** Whether a new segment came while it was audited. */
  get isAdvancing(): boolean {
    return this.#first !== null && this.#last !== null && this.#last.msn > this.#first.msn;
  }

  /** Parts that should have been offered in the audited time, and those of them that were not: gaps, holes, and what is overdue. */
  count(): { expected: number; lost: number } {
    if (this.#first === null || this.#last === null) return { expected: 0, lost: 0 };
    const due = Math.floor((this.#last.at - this.#first.at) / 1000 / SEGMENT_SECONDS);
    const came = this.#last.msn - this.#first.msn;
    const overdue = Math.max(0, due - came - TOLERATED_SEGMENTS) * PARTS_PER_SEGMENT;
    let lost = overdue;
    for (let msn = this.#first.msn + 1; msn <= this.#last.msn; msn++) lost += this.#lost.get(msn) ?? PARTS_PER_SEGMENT;
    return { expected: came * PARTS_PER_SEGMENT + overdue, lost };
  }
}

function missingParts({ seconds, parts }: ListedSegment, partTarget: number | null): number {
  if (partTarget === null) return 0;
  const offered = parts.reduce((sum, part) => sum + part.seconds, 0);
  return Math.round((seconds - offered) / partTarget);
}
