import { NO_QUALITIES, type Qualities } from "./qualities.ts";
import type { Timeline } from "./timeline.ts";

/** What the picture does. `paused` also where the browser refused to start by itself; `ended` when the last frame has been shown. */
export type PlayerPhase = "idle" | "loading" | "playing" | "paused" | "stalled" | "error" | "ended";

/** What a player shows of itself. */
export interface PlayerStatus {
  phase: PlayerPhase;
  /** Held at the live edge, within a few seconds of where a new viewer would start. */
  atLive: boolean;
  /** Plays the recording of a broadcast that is over, because the viewer asked for it. */
  replaying: boolean;
  timeline: Timeline | null;
  qualities: Qualities;
}

/** A player before its first frame. */
export const INITIAL_STATUS: PlayerStatus = {
  phase: "loading",
  atLive: false,
  replaying: false,
  timeline: null,
  qualities: NO_QUALITIES,
};
