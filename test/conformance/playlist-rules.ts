import type { Findings } from "./findings.ts";
import { durationOf, type KnownSegment, type LiveView } from "./live-view.ts";

/** Rounding of a duration's printed decimals, seconds. */
const ROUNDING = 0.00002;
/** How far two ways to reckon one date may differ: dates are whole milliseconds, durations are rounded. */
const DATE_ROUNDING_MS = 5;

/** The rules that one rendition's playlists must keep, one by one and from each to the next. */
export class PlaylistRules {
  readonly #findings: Findings;
  readonly #where: string;
  readonly #known = new Map<number, KnownSegment>();
  #before: LiveView | null = null;

  constructor(findings: Findings, rendition: string) {
    this.#findings = findings;
    this.#where = rendition;
  }

  /** Every segment ever listed, by number, as it was listed last with all its parts. */
  get known(): ReadonlyMap<number, KnownSegment> {
    return this.#known;
  }

  /** Checks a playlist; `deltaAsked` where the request allowed a delta update. */
  check(view: LiveView, deltaAsked: boolean): void {
    this.#checkHeader(view);
    this.#checkSkip(view, deltaAsked);
    this.#checkEdge(view);
    this.#checkWindow(view);
    for (const [index, segment] of view.segments.entries()) this.#checkSegment(view, segment, view.segments[index - 1]);
    for (const segment of view.segments) this.#remember(segment);
    this.#before = view;
  }

  #checkHeader({ text }: LiveView): void {
    const { control, partTarget, targetDuration } = text;
    const before = this.#before?.text;
    if (before !== undefined) {
      if (before.targetDuration !== targetDuration)
        this.#say("PL1", "TARGETDURATION changes", `${before.targetDuration} to ${targetDuration}`);
      if (!text.ended && before.partTarget !== partTarget) this.#say("PL1", "PART-TARGET changes", `${before.partTarget} to ${partTarget}`);
      if (text.mediaSequence < before.mediaSequence) this.#say("PL5", "media sequence goes back");
      if (text.discontinuitySequence < before.discontinuitySequence) this.#say("PL7", "discontinuity sequence goes back");
    }
    if (text.mediaSequence < 1) this.#say("PL5", "media sequence below 1");
    if (partTarget === null) this.#say("PL2", "no PART-INF");
    if (Number(control.get("PART-HOLD-BACK")) < 3 * (partTarget ?? 0) - ROUNDING * 50) this.#say("PL2", "PART-HOLD-BACK below 3×PT");
    if (Number(control.get("HOLD-BACK")) < 3 * targetDuration) this.#say("PL2", "HOLD-BACK below 3×TD");
    if (Number(control.get("CAN-SKIP-UNTIL")) < 6 * targetDuration) this.#say("PL2", "CAN-SKIP-UNTIL below 6×TD");
    if (text.skipped > 0 && text.version < 9) this.#say("PL11", "EXT-X-SKIP in a version below 9");
    if (text.version < 6) this.#say("PL11", "version below what the tags ask for");
  }

  #checkSkip({ text, segments }: LiveView, deltaAsked: boolean): void {
    const boundary = Number(text.control.get("CAN-SKIP-UNTIL"));
    if (text.skipped > 0 && !deltaAsked) this.#say("PL11", "a delta update that was not asked for");
    if (text.skipped > 0 && lengthOf(text.segments) < boundary - 0.001)
      this.#say("PL11", "skips more than the boundary allows", `${lengthOf(text.segments)} s are left`);
    const skippable = segments.length > 1 && lengthOf(segments.slice(1).filter(({ media }) => media !== null)) >= boundary;
    if (text.skipped === 0 && deltaAsked && skippable && !text.ended)
      this.#say("PL11", "whole, though a delta update was asked for and possible");
  }

  #checkEdge({ text, segments }: LiveView): void {
    if (!text.ended && text.hints.length !== 1) this.#say("PL9", `${text.hints.length} preload hints`);
    if (!text.ended) return;
    if (text.hints.length > 0) this.#say("PL13", "a preload hint after the end");
    if (segments.some(({ media, parts }) => media === null || parts.length > 0)) this.#say("PL13", "parts after the end");
  }

  #checkWindow({ text, segments }: LiveView): void {
    const keep = 3 * text.targetDuration;
    const before = this.#before === null ? 0 : lengthOf(this.#before.segments);
    if (lengthOf(segments) < Math.min(before, keep) - 0.001) this.#say("PL8", "the window shrinks below 3×TD");
    let behind = 0;
    for (const segment of text.ended ? [] : segments.toReversed()) {
      if (segment.parts.length > 0 && behind > keep + 0.001) this.#say("PL8", "parts listed further back than 3×TD", `msn ${segment.msn}`);
      const near = behind + durationOf(segment) < keep - 0.001;
      const wasListed = this.#known.get(segment.msn)?.parts.length ?? 0;
      if (segment.parts.length < wasListed && near) this.#say("PL8", "parts leave the list within 3×TD", `msn ${segment.msn}`);
      behind += durationOf(segment);
    }
  }

  #checkSegment({ text }: LiveView, segment: KnownSegment, previous: KnownSegment | undefined): void {
    const { msn, media, parts, gap } = segment;
    const target = text.partTarget ?? 0;
    const rounded = Math.round(durationOf(segment));
    if (rounded > text.targetDuration) this.#say("PL3", "a segment longer than TARGETDURATION", `msn ${msn}: ${durationOf(segment)}`);
    for (const [index, part] of parts.entries()) {
      if (part.duration > target + ROUNDING)
        this.#say("PL3", "a part longer than PART-TARGET", `${msn}.${index}: ${part.duration} > ${target}`);
      const isLast = index === parts.length - 1;
      if (!isLast && part.duration < 0.85 * target - ROUNDING)
        this.#say("PL3", "a part before the last is shorter than 85 % of PART-TARGET", `${msn}.${index}: ${part.duration} of ${target}`);
    }
    const ofParts = parts.reduce((sum, part) => sum + part.duration, 0);
    if (media !== null && parts.length > 0 && Math.abs(ofParts - media.duration) > ROUNDING * (parts.length + 1))
      this.#say("PL3", "EXTINF is not the sum of its parts", `msn ${msn}: ${media.duration}, parts ${ofParts}`);
    if (segment.init === null && !gap) this.#say("PL7", "no EXT-X-MAP", `msn ${msn}`);
    this.#checkDate(segment, previous);
    this.#checkTimeline(segment, previous);
    this.#checkUnchanged(segment);
  }

  #checkDate({ msn, startsAt, programDateTime, discontinuity }: KnownSegment, previous: KnownSegment | undefined): void {
    if (startsAt === null) return this.#say("PL6", "no date for the first segment", `msn ${msn}`);
    if (discontinuity && programDateTime === null) this.#say("PL6", "no date after a discontinuity", `msn ${msn}`);
    if (previous === undefined || previous.startsAt === null) return;
    const end = previous.startsAt + durationOf(previous) * 1000;
    if (startsAt < end - DATE_ROUNDING_MS) this.#say("PL6", "a date goes back", `msn ${msn} by ${end - startsAt} ms`);
    if (!discontinuity && startsAt > end + DATE_ROUNDING_MS) this.#say("PL6", "a date jumps without a discontinuity", `msn ${msn}`);
  }

  #checkTimeline({ msn, init, discontinuity, gap }: KnownSegment, previous: KnownSegment | undefined): void {
    if (previous === undefined || gap || previous.gap || previous.init === null) return;
    const changes = init !== previous.init;
    if (changes && !discontinuity) this.#say("PL7", "another map without a discontinuity", `msn ${msn}`);
    if (!changes && discontinuity) this.#say("PL7", "a discontinuity without another map", `msn ${msn}`);
  }

  #checkUnchanged(segment: KnownSegment): void {
    const { msn } = segment;
    const known = this.#known.get(msn);
    if (known === undefined) return;
    if (known.media !== null && segment.media === null) this.#say("PL5", "a complete segment is open again", `msn ${msn}`);
    if (known.media !== null && segment.media !== null && JSON.stringify(known.media) !== JSON.stringify(segment.media))
      this.#say("PL5", "a segment changes", `msn ${msn}: ${JSON.stringify(known.media)} to ${JSON.stringify(segment.media)}`);
    if (known.timelineNumber !== segment.timelineNumber) this.#say("PL7", "a segment's discontinuity number changes", `msn ${msn}`);
    if (known.parts.length > 0 && segment.gap) this.#say("PL12", "a segment whose parts were listed is lost", `msn ${msn}`);
    const dates = known.startsAt === null || segment.startsAt === null ? 0 : Math.abs(known.startsAt - segment.startsAt);
    if (dates > DATE_ROUNDING_MS) this.#say("PL6", "a segment's date changes", `msn ${msn} by ${dates} ms`);
    for (const [index, part] of segment.parts.entries()) {
      const before = known.parts[index];
      if (before !== undefined && JSON.stringify(before) !== JSON.stringify(part)) this.#say("PL5", "a part changes", `${msn}.${index}`);
      if (before === undefined && known.media !== null && known.parts.length > 0)
        this.#say("PL5", "a complete segment gets a part", `${msn}.${index}`);
    }
  }

  #remember(segment: KnownSegment): void {
    const parts = this.#known.get(segment.msn)?.parts ?? [];
    this.#known.set(segment.msn, { ...segment, parts: segment.parts.length >= parts.length ? segment.parts : parts });
  }

  #say(rule: string, what: string, detail = ""): void {
    this.#findings.report(rule, this.#where, what, detail);
  }
}

function lengthOf(segments: { media: { duration: number } | null; parts: { duration: number }[] }[]): number {
  return segments.reduce((sum, { media, parts }) => sum + (media?.duration ?? parts.reduce((all, part) => all + part.duration, 0)), 0);
}
