import { mean } from "../metrics/aggregate.ts";
import { round } from "../metrics/points.ts";
import type { Analytics, Trend } from "../protocol/api/analytics.ts";
import type { Millis } from "../time.ts";
import type { BroadcastSummary } from "./broadcast-summary.ts";
import { computeHealthScore } from "./health-score.ts";

/** How many former broadcasts a broadcast is compared with. */
export const COMPARED_BROADCASTS = 5;

const FIGURES = {
  viewers_average: ({ total }) => mean(total.viewerSeconds, total.seconds),
  viewers_peak: ({ peakViewers }) => peakViewers.value,
  duration_seconds: (summary, now) => durationOf(summary, now),
  health_score: (summary) => computeHealthScore(summary)?.score ?? null,
  stalls_per_viewer_hour: (summary) => stallRateOf(summary),
} satisfies Record<string, (summary: BroadcastSummary, now: Millis) => number | null>;

/** A broadcast's figures beside the means of those before it, the latest first. */
export function computeTrends(summary: BroadcastSummary, former: readonly BroadcastSummary[], now: Millis): Analytics["trends"] {
  const before = former.slice(0, COMPARED_BROADCASTS);
  const trendOf = (figure: (summary: BroadcastSummary, now: Millis) => number | null): Trend => {
    const values = before.map((other) => figure(other, now)).filter((value) => value !== null);
    const value = figure(summary, now);
    const usual = mean(
      values.reduce((sum, one) => sum + one, 0),
      values.length,
    );
    const isComparable = value !== null && usual !== null && usual !== 0;
    return {
      value: value === null ? null : round(value, 2),
      before: usual === null ? null : round(usual, 2),
      change_percent: isComparable ? round(((value - usual) / usual) * 100, 1) : null,
    };
  };
  return {
    compared_with: before.map(({ broadcast }) => broadcast),
    viewers_average: trendOf(FIGURES.viewers_average),
    viewers_peak: trendOf(FIGURES.viewers_peak),
    duration_seconds: trendOf(FIGURES.duration_seconds),
    health_score: trendOf(FIGURES.health_score),
    stalls_per_viewer_hour: trendOf(FIGURES.stalls_per_viewer_hour),
  };
}

/** Seconds from the first frame to the end, or to now. */
export function durationOf({ startedAt, endedAt }: BroadcastSummary, now: Millis): number {
  return Math.max(0, (endedAt ?? now) - startedAt) / 1000;
}

/** Stalls in an hour of watching; null where nobody watched. */
export function stallRateOf({ total }: BroadcastSummary): number | null {
  return mean(total.stalls * 3_600, total.viewerSeconds);
}
