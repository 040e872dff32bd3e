import type { BroadcastHealth } from "../protocol/api/analytics.ts";
import type { BroadcastSummary } from "./broadcast-summary.ts";
import { computeFindings } from "./findings.ts";

const GOOD_FROM = 80;
const FAIR_FROM = 50;

/** How well a broadcast went: 100 less the points of all that was found; null where nothing was measured. */
export function computeHealthScore(summary: BroadcastSummary): BroadcastHealth | null {
  if (summary.total.seconds === 0 && !summary.failed) return null;
  const costly = computeFindings(summary).filter(({ points }) => points > 0);
  const score = costly.reduce((left, { points }) => Math.max(0, left - points), 100);
  return {
    score,
    grade: score >= GOOD_FROM ? "good" : score >= FAIR_FROM ? "fair" : "poor",
    reasons: costly.map(({ code, severity, points, message }) => ({ code, severity, points, message })),
  };
}
