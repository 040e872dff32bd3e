import type { VideoEncoder } from "../config.ts";

/** What a ladder looks like at a moment. */
export interface OverloadObservation {
  /** A clock that does not go back, milliseconds. */
  nowMs: number;
  /** How far the slowest rung is behind the input, milliseconds. */
  lagMs: number;
  /** Encoded rungs that could be given up now, and those that were: the lowest rendition always stays. */
  rungs: { droppable: number; dropped: number };
  /** Processor cores that the machine has idle, and those that the highest rung which was given up would need. */
  idleCores: number;
  costCores: number;
}

const WINDOW_MS = 5000;
const LEAST_LAG_MS = 1000;
/** Over the window: less is jitter. */
const LEAST_GROWTH_MS = 250;
/** So far behind, it is too slow even where it does not fall back further, for it only keeps level by leaving frames out. */
const HOPELESS_LAG_MS = 5000;
/** Of the time that passes: whoever falls back by that much puts nothing out. */
const DEAD = 0.9;
const CALM_LAG_MS = 500;
const FIRST_WAIT_MS = 60_000;
const LONGEST_WAIT_MS = 30 * 60_000;
/** A rung that has to go again within this time came back too early. */
const PROBATION_MS = 5 * 60_000;
/** What is idle now must do for the rung, and for what the others need in a harder scene. */
const SPARE = 1.25;

/** Decides when a ladder gives its highest rung up because the machine is too slow, and when it takes it back. Pure. */
export class OverloadWatch {
  #lags: { atMs: number; lagMs: number }[] = [];
  #calmSinceMs: number | null = null;
  #waitMs = FIRST_WAIT_MS;
  #restoredAtMs: number | null = null;

  /** To be called about each second. After an answer the ladder changes, and is watched anew. */
  observe(observation: OverloadObservation): "drop" | "restore" | null {
    const { nowMs, lagMs, rungs } = observation;
    this.#lags.push({ atMs: nowMs, lagMs });
    // The newest observation that is a whole window old is the one to compare with.
    while ((this.#lags[1]?.atMs ?? nowMs) <= nowMs - WINDOW_MS) this.#lags.shift();
    if (this.#restoredAtMs !== null && nowMs - this.#restoredAtMs > PROBATION_MS) {
      this.#restoredAtMs = null;
      this.#waitMs = FIRST_WAIT_MS;
    }
    if (lagMs > CALM_LAG_MS) this.#calmSinceMs = null;
    else this.#calmSinceMs ??= nowMs;

    if (rungs.droppable > 0 && this.#isTooSlow(nowMs)) {
      if (this.#restoredAtMs !== null) this.#waitMs = Math.min(LONGEST_WAIT_MS, this.#waitMs * 2);
      this.#restoredAtMs = null;
      this.#begin();
      return "drop";
    }
    const isCalm = this.#calmSinceMs !== null && nowMs - this.#calmSinceMs >= this.#waitMs;
    if (rungs.dropped > 0 && isCalm && observation.idleCores >= observation.costCores * SPARE) {
      this.#restoredAtMs = nowMs;
      this.#begin();
      return "restore";
    }
    return null;
  }

  /** What was encoded cannot be: it is not for a moment's lack of room, and is tried again much later. */
  failed(): void {
    this.#waitMs = Math.min(LONGEST_WAIT_MS, this.#waitMs * 4);
    this.#restoredAtMs = null;
    this.#begin();
  }

  #isTooSlow(nowMs: number): boolean {
    const [oldest] = this.#lags;
    const [previous, newest] = this.#lags.slice(-2);
    if (oldest === undefined || previous === undefined || newest === undefined || oldest.atMs > nowMs - WINDOW_MS) return false;
    const growthMs = newest.lagMs - previous.lagMs;
    // One that does nothing at all is not slow but dead, and one that has been started again catches up.
    const runs = growthMs >= 0 && growthMs < DEAD * (newest.atMs - previous.atMs);
    const isGrowing = newest.lagMs > LEAST_LAG_MS && newest.lagMs - oldest.lagMs >= LEAST_GROWTH_MS;
    return (runs && isGrowing) || this.#lags.every(({ lagMs }) => lagMs > HOPELESS_LAG_MS);
  }

  #begin(): void {
    this.#lags = [];
    this.#calmSinceMs = null;
  }
}

/** Cores that a rung takes at 30 frames a second: to have it scaled, and for each million pixels to have them encoded. */
const CORES_TO_SCALE = 0.2;
const CORES_A_MEGAPIXEL: Record<VideoEncoder, number> = { x264: 0.12, nvenc: 0, vaapi: 0, qsv: 0 };
const MEASURED_FRAME_RATE = 30;

/** About how many processor cores a rung takes. */
export function estimateCores(encoder: VideoEncoder, rung: { width: number; height: number }, frameRate: number | null): number {
  const megapixels = (rung.width * rung.height) / 1e6;
  return ((frameRate ?? MEASURED_FRAME_RATE) / MEASURED_FRAME_RATE) * (CORES_TO_SCALE + CORES_A_MEGAPIXEL[encoder] * megapixels);
}
