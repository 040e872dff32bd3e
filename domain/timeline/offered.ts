import type { Timeline } from "./timeline.ts";

/** Renditions as one epoch carries them. */
export interface Offer {
  epoch: number;
  /** In the epoch's own order. */
  renditions: string[];
}

/** After so many segments of an epoch a rendition that has none is not waited for. */
const PATIENCE_SEGMENTS = 2;

/**
 * The renditions that viewers can choose from: those of the newest epoch, and one that the epoch before lacked from its first segment on, so that
 * nobody is led to a playlist of gaps. Until an epoch has any of its own, those of the one before. Null before the first tracks.
 */
export function computeOffer(timeline: Timeline, isVideo: (epoch: number, rendition: string) => boolean): Offer | null {
  const known = timeline.epochs.filter(({ startedAt }) => startedAt !== null);
  for (const [index, { epoch, renditions }] of [...known.entries()].toReversed()) {
    const before = known[index - 1];
    const count = (name: string, of: number) => timeline.listed(name).filter((segment) => segment.epoch === of && !segment.gap).length;
    const goesOn = (name: string) => before?.renditions.includes(name) === true && count(name, before.epoch) > 0;
    const isReady = (name: string) => goesOn(name) || count(name, epoch) > 0;
    const isLate = renditions.some((name) => count(name, epoch) >= PATIENCE_SEGMENTS);
    if (renditions.every(isReady) || (before === undefined && !isLate)) return { epoch, renditions: [...renditions] };
    // Those that were not there before come together, unless one of them is late.
    const offered = renditions.filter(isLate ? isReady : goesOn);
    // Sound alone is no choice where pictures are announced: until they come, what was before.
    const hasPictures = (names: readonly string[]) => names.some((name) => isVideo(epoch, name));
    if (offered.length > 0 && (before === undefined || hasPictures(offered) || !hasPictures(renditions)))
      return { epoch, renditions: offered };
  }
  return null;
}
