/** What of a live stream can be played, seconds of media time. */
export interface SeekWindow {
  start: number;
  end: number;
}

/** Whether a viewer is held at the live edge, or watches behind it by his own choice and is left alone there. */
export type Place = "edge" | "behind";

/** Closer than this to where a new viewer would start is the live edge, seconds. */
export const EDGE_TOLERANCE_SECONDS = 3;
/** The oldest segments leave the window while they are being asked for, seconds. */
const START_MARGIN_SECONDS = 4;

/** The place of a viewer this far behind where a new viewer would start, seconds. */
export function placeAt(behindSeconds: number): Place {
  return behindSeconds > EDGE_TOLERANCE_SECONDS ? "behind" : "edge";
}

/** Where a viewer goes on after a pause: where he was, or at the edge when the window has left him behind. A `seekTo` of null stays. */
export function decideReturn(position: number, window: SeekWindow | null, live: number | null): { place: Place; seekTo: number | null } {
  if (window === null || live === null) return { place: "edge", seekTo: null };
  if (position < window.start) return { place: "edge", seekTo: live };
  return { place: placeAt(live - position), seekTo: null };
}

/** A seek as the viewer meant it, kept to what can be played; `edge` where it reaches the live edge. */
export function decideSeek(target: number, window: SeekWindow, live: number | null): { place: Place; seekTo: number } {
  if (live !== null && target > live - EDGE_TOLERANCE_SECONDS) return { place: "edge", seekTo: live };
  const earliest = live === null ? window.start : Math.min(window.start + START_MARGIN_SECONDS, live);
  return { place: live === null ? "edge" : "behind", seekTo: Math.min(Math.max(target, earliest), window.end) };
}
