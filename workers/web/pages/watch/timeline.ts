import type { SeekWindow } from "./place.ts";

/**
 * What a viewer can move in, whole seconds. Of a live stream: how far back its window reaches, and how far behind a new viewer he is. Of one
 * that is over: how long it is, and where he is in it.
 */
export type Timeline = { kind: "live"; reach: number; behind: number } | { kind: "recorded"; duration: number; position: number };

/** A shorter live window is nothing to move in, seconds. */
const SHORTEST_WINDOW_SECONDS = 85;

/** What is playing: a live broadcast, one that ended a moment ago and plays out, or a recording. */
export type Medium = "live" | "ended" | "recording";

/** The timeline to show; null where there is none. `live` is where a new viewer would start, seconds of media time. */
export function computeTimeline(medium: Medium | null, position: number, window: SeekWindow | null, live: number | null): Timeline | null {
  if (medium === null || window === null) return null;
  const reach = (medium === "live" && live !== null ? live : window.end) - window.start;
  if (medium !== "recording" && reach < SHORTEST_WINDOW_SECONDS) return null;
  if (medium === "live") {
    if (live === null) return null;
    return { kind: "live", reach: Math.round(reach), behind: within(Math.round(live - position), Math.round(reach)) };
  }
  // What is over grows no more: its length is that of the last frame.
  return { kind: "recorded", duration: Math.floor(reach), position: within(Math.floor(position - window.start), Math.floor(reach)) };
}

/** Whether two timelines look the same. */
export function sameTimeline(one: Timeline | null, other: Timeline | null): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function within(value: number, limit: number): number {
  return Math.min(Math.max(0, value), limit);
}
