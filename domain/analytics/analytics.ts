import { mean, variation } from "../metrics/aggregate.ts";
import { round } from "../metrics/points.ts";
import type { Analytics } from "../protocol/api/analytics.ts";
import type { StreamStatus } from "../protocol/events.ts";
import { isoTime, isoTimeOrNull, type Millis } from "../time.ts";
import type { BroadcastSummary, Peak } from "./broadcast-summary.ts";
import { computeFindings } from "./findings.ts";
import { computeHealthScore } from "./health-score.ts";
import { computeTrends, durationOf, stallRateOf } from "./trends.ts";

const NEVER_LIVE: Analytics = {
  ...{ broadcast: null, status: null, started_at: null, ended_at: null, end_reason: null },
  ...{ health: null, totals: null, averages: null, peaks: null, quality: [], trends: null, recommendations: [] },
};

/**
 * How a broadcast went, and what its broadcaster can do. `summary` has all samples up to now in it, and is null where the stream was never live; `status`
 * is the broadcast's; `former` are the broadcasts before it, the latest first.
 */
export function computeAnalytics(
  summary: BroadcastSummary | null,
  status: StreamStatus,
  former: readonly BroadcastSummary[],
  now: Millis,
): Analytics {
  if (summary === null) return NEVER_LIVE;
  return {
    broadcast: summary.broadcast,
    status,
    started_at: isoTime(summary.startedAt),
    ended_at: isoTimeOrNull(summary.endedAt),
    end_reason: summary.endReason,
    health: computeHealthScore(summary),
    totals: totalsOf(summary, now),
    averages: averagesOf(summary),
    peaks: { viewers: peakOf(summary.peakViewers), ingress_kbps: peakOf(summary.peakIngressKbps) },
    quality: qualityOf(summary),
    trends: computeTrends(summary, former, now),
    recommendations: computeFindings(summary).map(({ code, advice }) => ({ code, message: advice })),
  };
}

function totalsOf(summary: BroadcastSummary, now: Millis): Analytics["totals"] {
  const { total, reconnects } = summary;
  const stallRate = stallRateOf(summary);
  return {
    duration_seconds: durationOf(summary, now),
    live_seconds: total.seconds,
    viewer_seconds: total.viewerSeconds,
    sessions: total.joins,
    ingress_bytes: Math.round(total.ingressSum * 125),
    egress_bytes: Math.round(total.egressSum * 125),
    dropped_frames: total.dropped,
    stalls: total.stalls,
    stalls_per_viewer_hour: stallRate === null ? null : round(stallRate, 2),
    reconnects,
    errors: total.errors,
    health_seconds: { good: total.goodSeconds, fair: total.fairSeconds, poor: total.poorSeconds },
  };
}

function averagesOf({ total }: BroadcastSummary): Analytics["averages"] {
  const { seconds } = total;
  if (seconds === 0) return null;
  const keyframe = mean(total.keyframeSum, total.keyframeSeconds);
  const spread = variation(total.settledIngressSum, total.settledIngressSquares, total.settledSeconds);
  return {
    viewers: round(total.viewerSeconds / seconds, 1),
    pull: round(total.pullSeconds / seconds, 1),
    ingress_kbps: round(total.ingressSum / seconds, 1),
    ingress_variation: spread === null ? null : round(spread, 3),
    egress_kbps: round(total.egressSum / seconds, 1),
    fps: round(total.fpsSum / seconds, 2),
    keyframe_interval: keyframe === null ? null : round(keyframe, 2),
    keyframe_interval_max: keyframe === null ? null : round(total.keyframeMax, 2),
    speed: round(total.speedSum / seconds, 3),
  };
}

function qualityOf({ total }: BroadcastSummary): Analytics["quality"] {
  const said = Object.entries(total.renditions);
  const known = said.reduce((sum, [, seconds]) => sum + seconds, 0);
  const all = Math.max(known, total.viewerSeconds);
  return [...said, ["unknown", all - known] as const]
    .filter(([, seconds]) => seconds > 0)
    .sort((a, b) => b[1] - a[1])
    .map(([rendition, seconds]) => ({ rendition, share: round(seconds / all, 4), viewer_seconds: Math.round(seconds) }));
}

function peakOf({ value, at }: Peak): { value: number; at: string } {
  return { value: Math.round(value), at: isoTime(at) };
}
