import type { PlaybackReport } from "./playback-report.ts";

/** The server hears one every 10 s. */
const INTERVAL_MS = 10_000;
const JITTER_MS = 2_000;
const REFRESH_MS = 60_000;
/** Latency that has changed by less says nothing new, ms. */
const LATENCY_STEP_MS = 1_000;

/** When to tell the server what the player does: soon after it has changed, seldom where it has not. The clock comes in. */
export class PlaybackReports {
  readonly #random: () => number;
  #report: PlaybackReport | null = null;
  #sent: PlaybackReport | null = null;
  #changeAt = 0;
  #refreshAt = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** A new socket, which has been told nothing: when many open at once, their first reports come spread out. */
  restart(now: number): void {
    this.#sent = null;
    this.#changeAt = now + this.#random() * INTERVAL_MS;
  }

  /** What the player does now; null where nothing plays. */
  set(report: PlaybackReport | null): void {
    this.#report = report;
  }

  /** When one is to be sent; null where there is nothing to say. A moment in the past is now. */
  get dueAt(): number | null {
    if (this.#report === null) return null;
    return this.#sent === null || differs(this.#report, this.#sent) ? this.#changeAt : this.#refreshAt;
  }

  /** The frame to send now; null where nothing plays. */
  take(now: number): object | null {
    const report = this.#report;
    if (report === null) return null;
    this.#sent = report;
    this.#changeAt = now + INTERVAL_MS + this.#random() * JITTER_MS;
    this.#refreshAt = now + REFRESH_MS * (0.9 + this.#random() * 0.2);
    return {
      type: "playback",
      rendition: report.rendition.slice(0, 16),
      buffered_ms: amount(report.bufferedMs),
      latency_ms: report.latencyMs === null ? null : amount(report.latencyMs),
      stalls: amount(report.stalls),
      switches: amount(report.switches),
    };
  }
}

function differs(a: PlaybackReport, b: PlaybackReport): boolean {
  if (a.rendition !== b.rendition || a.stalls !== b.stalls || a.switches !== b.switches) return true;
  if (a.latencyMs === null || b.latencyMs === null) return a.latencyMs !== b.latencyMs;
  return Math.abs(a.latencyMs - b.latencyMs) >= LATENCY_STEP_MS;
}

function amount(value: number): number {
  return Number.isFinite(value) ? Math.max(0, Math.round(value)) : 0;
}
