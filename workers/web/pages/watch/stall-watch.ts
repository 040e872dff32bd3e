/** What to do about a picture that stands still. */
export type StallStep = "none" | "seek_live" | "restart" | "rebuild";

/** What of the player the watch looks at. `due`: frames should move, as nobody paused and the broadcaster is there. */
export interface Playhead {
  nowMs: number;
  positionSeconds: number;
  due: boolean;
}

const STEPS = [
  { afterMs: 2_000, step: "seek_live" },
  { afterMs: 5_000, step: "restart" },
  { afterMs: 10_000, step: "rebuild" },
] as const;

/** A gap between two looks that only a suspended machine or a throttled tab makes. */
const SUSPENDED_MS = 5_000;

/** Sees a stalled playhead and escalates; after the last step it begins again. Looked at about twice a second. */
export class StallWatch {
  #last: Playhead | null = null;
  #movedAtMs = 0;
  #taken = 0;

  /** The step that is due now. */
  look(now: Playhead): StallStep {
    const last = this.#last;
    this.#last = now;
    if (!last || !now.due || !last.due || now.nowMs - last.nowMs > SUSPENDED_MS || plays(last, now)) return this.#begin(now.nowMs);
    const next = STEPS[this.#taken];
    if (!next || now.nowMs - this.#movedAtMs < next.afterMs) return "none";
    if (++this.#taken === STEPS.length) this.#begin(now.nowMs);
    return next.step;
  }

  #begin(nowMs: number): "none" {
    this.#movedAtMs = nowMs;
    this.#taken = 0;
    return "none";
  }
}

/** Whether the playhead moved as playing moves it; a jump is a seek, which is an attempt and no success. */
function plays(last: Playhead, now: Playhead): boolean {
  const moved = now.positionSeconds - last.positionSeconds;
  return moved > 0 && moved <= ((now.nowMs - last.nowMs) / 1000) * 2 + 0.25;
}
