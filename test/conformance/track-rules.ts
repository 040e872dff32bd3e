import type { AudioInit, VideoInit } from "../../origin/package/init.ts";
import type { Findings } from "./findings.ts";
import type { KnownSegment } from "./live-view.ts";
import { type MediaSpan, readInit, readMedia } from "./track-media.ts";

/** Where a segment of a rendition starts. */
interface SegmentStart {
  init: string;
  /** Presentation time of its first frame, seconds. */
  seconds: number;
  /** Wall clock minus presentation time, ms. */
  mappingMs: number;
}

const DURATION_ROUNDING = 0.001;

/** The rules that one rendition's bytes must keep: CM1, CM2, and what playlists say about them. */
export class TrackRules {
  readonly #findings: Findings;
  readonly #where: string;
  readonly #inits = new Map<string, VideoInit | AudioInit>();
  readonly #parts = new Map<number, Buffer[]>();
  readonly #fed = new Set<string>();
  #expected: { init: string; dts: number } | null = null;
  /** Starts by media sequence number. */
  readonly starts = new Map<number, SegmentStart>();
  /** Bits per second of the largest segment. */
  peak = 0;
  /** Frames and seconds of whole segments. */
  readonly total = { frames: 0, seconds: 0 };

  constructor(findings: Findings, rendition: string) {
    this.#findings = findings;
    this.#where = rendition;
  }

  get inits(): ReadonlyMap<string, VideoInit | AudioInit> {
    return this.#inits;
  }

  /** Takes an init segment's bytes. */
  addInit(uri: string, bytes: Buffer): void {
    const init = this.#findings.attempt("CM1", `${this.#where} init`, () => readInit(bytes));
    if (init !== null) this.#inits.set(uri, init);
  }

  /** A segment is lost: what comes next need not go on where the bytes before end. */
  skip(): void {
    this.#expected = null;
  }

  /** Takes a part's bytes; parts come in order. */
  addPart(segment: KnownSegment, index: number, bytes: Buffer): void {
    const listed = segment.parts[index];
    const parts = this.#parts.get(segment.msn) ?? [];
    parts[index] = bytes;
    this.#parts.set(segment.msn, parts);
    const span = this.#feed(segment, `${segment.msn}.${index}`, bytes, listed?.duration ?? 0, index === 0);
    if (span === null || listed === undefined) return;
    if (listed.independent && !span.beginsWithKey)
      this.#say("PL4", "INDEPENDENT on a part without an IDR at its start", `${segment.msn}.${index}`);
    if (index === 0 && !listed.independent) this.#say("PL4", "a segment's first part is not INDEPENDENT", `${segment.msn}.0`);
  }

  /** Takes a whole segment's bytes, after those of its parts. */
  addSegment(segment: KnownSegment, bytes: Buffer): void {
    const { msn, media } = segment;
    const seconds = media?.duration ?? 0;
    const parts = this.#parts.get(msn);
    const init = this.#inits.get(segment.init ?? "");
    this.peak = Math.max(this.peak, (bytes.length * 8) / seconds);
    if (parts === undefined) this.#feed(segment, `${msn}`, bytes, seconds, true);
    else if (isWhole(segment) && parts.length === segment.parts.length && !Buffer.concat(parts).equals(bytes))
      this.#say(
        "CM1",
        "a segment is not its parts one after another",
        `msn ${msn}: ${bytes.length} bytes, parts ${Buffer.concat(parts).length}`,
      );
    this.#parts.delete(msn);
    const span = this.#findings.attempt("CM1", this.#where, () => readMedia(bytes));
    if (span === null || init === undefined) return;
    this.total.frames += span.frames;
    this.total.seconds += (span.endDts - span.firstDts) / init.timescale;
  }

  #feed(segment: KnownSegment, name: string, bytes: Buffer, listed: number, opens: boolean): MediaSpan | null {
    const uri = segment.init ?? "";
    const init = this.#inits.get(uri);
    const span = this.#findings.attempt("CM1", this.#where, () => readMedia(bytes));
    if (span === null || init === undefined || this.#fed.has(name)) return span;
    this.#fed.add(name);
    const expected = this.#expected;
    if (expected !== null && expected.init === uri && expected.dts !== span.firstDts)
      this.#say(
        "CM2",
        "tfdt does not go on where the bytes before end",
        `${name}: ${span.firstDts - expected.dts} of ${init.timescale} ticks/s`,
      );
    this.#expected = { init: uri, dts: span.endDts };
    const seconds = (span.endDts - span.firstDts) / init.timescale;
    if (Math.abs(seconds - listed) > DURATION_ROUNDING)
      this.#say("PL3", "the listed duration is not that of the bytes", `${name}: ${listed}, ${seconds}`);
    if (opens) {
      if (!span.beginsWithKey) this.#say("PL4", "a segment does not begin with an IDR", name);
      const start = span.firstPts / init.timescale;
      this.starts.set(segment.msn, { init: uri, seconds: start, mappingMs: (segment.startsAt ?? 0) - start * 1000 });
    }
    return span;
  }

  #say(rule: string, what: string, detail = ""): void {
    this.#findings.report(rule, this.#where, what, detail);
  }
}

/** Whether all parts of a complete segment were listed: some of the last one may not be, when the end comes. */
function isWhole({ parts, media }: KnownSegment): boolean {
  return Math.abs(parts.reduce((sum, part) => sum + part.duration, 0) - (media?.duration ?? 0)) < DURATION_ROUNDING;
}
