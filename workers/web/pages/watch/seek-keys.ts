import type { WatchActions } from "./actions.ts";
import type { Timeline } from "./timeline.ts";

const STEP_SECONDS = 10;
const PAGE_SECONDS = 60;

/** What a key does to the place on the timeline; null where it does nothing. The range alone takes the keys that scroll a page. */
export function decideSeekKey(key: string, timeline: Timeline, onRange: boolean): { by: number } | { to: number } | null {
  switch (key) {
    case "ArrowLeft":
      return { by: -STEP_SECONDS };
    case "ArrowRight":
      return { by: STEP_SECONDS };
  }
  if (!onRange) return null;
  switch (key) {
    case "ArrowDown":
      return { by: -STEP_SECONDS };
    case "ArrowUp":
      return { by: STEP_SECONDS };
    case "PageDown":
      return { by: -PAGE_SECONDS };
    case "PageUp":
      return { by: PAGE_SECONDS };
    case "Home":
      return { to: timeline.kind === "live" ? timeline.reach : 0 };
    case "End":
      return { to: timeline.kind === "live" ? 0 : timeline.duration };
    default:
      return null;
  }
}

/** Seeks with the keyboard, anywhere in the stage but where arrows mean something else. */
export function listenForSeekKeys(stage: HTMLElement, actions: WatchActions, timeline: () => Timeline | null): void {
  stage.addEventListener("keydown", (event) => {
    const shown = timeline();
    const target = event.target as HTMLElement;
    const hasModifier = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
    if (shown === null || hasModifier || target.closest("media-volume-range, [role=menu]")) return;
    const move = decideSeekKey(event.key, shown, target.matches(".scrubber"));
    if (move === null) return;
    event.preventDefault();
    if ("by" in move) actions.seekBy(move.by);
    else actions.seek(move.to);
  });
}
