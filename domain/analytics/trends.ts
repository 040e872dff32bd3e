import { mean } from "../metrics/aggregate.ts";
import { round } from "../metrics/points.ts";
import type { Analytics, Trend } from "../protocol/api/analytics.ts";
import type { Millis } from "../time.ts";
import type { BroadcastSummary } from "./broadcast-summary.ts";
import { computeHealthScore } from "./health-score.ts";

/** How many former broadcasts a broadcast is compared with. */
export const COMPARED_BROADCASTS = 5;

/** A broadcast's figures beside the means of those before it, the latest first. */
export function computeTrends(summary: BroadcastSummary, former: readonly BroadcastSummary[], now: Millis): Analytics["trends"] {
  const before = former.slice(0, COMPARED_BROADCASTS);
  const trendOf = (figure: (broadcast: BroadcastSummary) => number | null) => compare(figure(summary), before.map(figure));
  return {
    compared_with: before.map(({ broadcast }) => broadcast),
    viewers_average: trendOf(({ total }) => mean(total.viewerSeconds, total.seconds)),
    viewers_peak: trendOf(({ peakViewers }) => peakViewers.value),
    duration_seconds: trendOf((broadcast) => durationOf(broadcast, now)),
    health_score: trendOf((broadcast) => computeHealthScore(broadcast)?.score ?? null),
    stalls_per_viewer_hour: trendOf(stallRateOf),
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

function compare(value: number | null, former: readonly (number | null)[]): Trend {
  const known = former.filter((figure) => figure !== null);
  const sum = known.reduce((total, figure) => total + figure, 0);
  const before = mean(sum, known.length);
  const isComparable = value !== null && before !== null && before !== 0;
  return {
    value: value === null ? null : round(value, 2),
    before: before === null ? null : round(before, 2),
    change_percent: isComparable ? round(((value - before) / before) * 100, 1) : null,
  };
}
