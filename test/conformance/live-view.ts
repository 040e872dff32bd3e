import type { ListedSegment, PlaylistText } from "./playlist-text.ts";

/** A segment as a player knows it: what the tags before it say is carried over. */
export interface KnownSegment extends ListedSegment {
  /** The map in force; null where none is. */
  init: string | null;
  /** Number of discontinuities from the broadcast's first to this segment's start. */
  timelineNumber: number;
  /** Start on the wall clock, Unix ms; null where no date has been said before it. */
  startsAt: number | null;
}

/** A playlist with all its segments: delta updates are merged with what was known before. */
export interface LiveView {
  text: PlaylistText;
  segments: KnownSegment[];
}

/** How long a segment is, seconds: as listed, or as far as its parts go. */
export function durationOf(segment: ListedSegment): number {
  return segment.media?.duration ?? segment.parts.reduce((sum, part) => sum + part.duration, 0);
}

/** Puts a playlist over the view before it. Throws where a delta update skips what this client never saw (PL11). */
export function mergeView(text: PlaylistText, before: LiveView | null): LiveView {
  const kept: KnownSegment[] = [];
  for (let msn = text.mediaSequence; msn < text.mediaSequence + text.skipped; msn++) {
    const known = before?.segments.find((segment) => segment.msn === msn && segment.media !== null);
    if (known === undefined) throw new Error(`segment ${msn} is skipped, but was never listed`);
    // Parts of a skipped segment are gone from the list.
    kept.push({ ...known, parts: [] });
  }
  const segments = [...kept];
  for (const segment of text.segments) {
    const last = segments.at(-1);
    const afterLast = last === undefined || last.startsAt === null ? null : last.startsAt + durationOf(last) * 1000;
    segments.push({
      ...segment,
      init: segment.map ?? last?.init ?? null,
      timelineNumber: (last?.timelineNumber ?? text.discontinuitySequence) + (segment.discontinuity ? 1 : 0),
      startsAt: segment.programDateTime ?? afterLast,
    });
  }
  return { text, segments };
}
