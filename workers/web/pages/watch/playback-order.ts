import type { View } from "./state.ts";

/**
 * What the player must do. `load`: start from the manifest. `resume`: the same broadcast goes on, so cut any waiting short.
 * `hold`: play what is buffered and wait. `drain`: play to the end. `stop`: nothing to play.
 */
export type PlaybackOrder = "load" | "resume" | "hold" | "drain" | "stop" | "none";

/** The order that a change of view means. A page starts its player before it knows anything, so `connecting` counts as loaded. */
export function decidePlayback(before: View, after: View): PlaybackOrder {
  if (before === after) return "none";
  switch (after.name) {
    case "connecting":
      return "none";
    case "live":
      return isLoaded(before, after.broadcast) ? "resume" : "load";
    case "reconnecting":
      return isLoaded(before, after.broadcast) ? "hold" : "load";
    case "ended":
      if (before.name === "ended") return "none";
      return before.name === "live" || before.name === "reconnecting" ? "drain" : "stop";
    case "waiting":
    case "not-found":
    case "denied":
      return "stop";
  }
}

function isLoaded(before: View, broadcast: number | null): boolean {
  if (before.name === "connecting") return true;
  if (before.name !== "live" && before.name !== "reconnecting") return false;
  return before.broadcast === null || before.broadcast === broadcast;
}
