import { RenditionName } from "../protocol/origin-link.ts";

/** Renditions that a tally holds at most. */
const MAX_RENDITIONS = 24;

/** What an object's players say, as far as others need it. */
export interface PlaybackTally {
  /** Viewers by the rendition that they play. */
  renditions: Record<string, number>;
  /** Stalls since the object came to life. */
  stalls: number;
  /** Stays that have begun since then. */
  joins: number;
}

/** Counts viewers by what they say they play. Anybody can say anything: no name but a rendition's counts, and of too many those of the fewest viewers don't. */
export function tallyRenditions(renditions: Iterable<string | null>): Record<string, number> {
  const counts = new Map<string, number>();
  for (const name of renditions) if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].filter(([name]) => RenditionName.safeParse(name).success).sort((a, b) => b[1] - a[1]);
  return Object.fromEntries(names.slice(0, MAX_RENDITIONS));
}

/** The counts of those of a tally's renditions that there are. */
export function onlyKnown(tally: Record<string, number>, known: readonly string[]): Record<string, number> {
  return Object.fromEntries(Object.entries(tally).filter(([name]) => known.includes(name)));
}

/** Two tallies together. */
export function addTallies(one: PlaybackTally, other: PlaybackTally): PlaybackTally {
  const renditions = new Map(Object.entries(one.renditions));
  for (const [name, count] of Object.entries(other.renditions)) renditions.set(name, (renditions.get(name) ?? 0) + count);
  return { renditions: Object.fromEntries(renditions), stalls: one.stalls + other.stalls, joins: one.joins + other.joins };
}
