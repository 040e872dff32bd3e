import type { MetricPoint } from "../protocol/api/metrics.ts";
import { isoTime } from "../time.ts";
import { type Aggregate, addAggregate, addSample, emptyAggregate, mean } from "./aggregate.ts";
import type { Resolution } from "./resolution.ts";
import type { Sample, UnixSecond } from "./sample.ts";

/** The points of a range, from its seconds. What lies outside of it is left out, and so are steps without a sample. */
export function pointsOfSamples(samples: Iterable<Sample>, resolution: Resolution): MetricPoint[] {
  const steps = new Map<UnixSecond, Aggregate>();
  for (const sample of samples) {
    const step = stepOf(steps, sample.at, resolution);
    if (step !== null) addSample(step, sample);
  }
  return pointsOf(steps);
}

/** The same from its minutes or hours, each with the second that it begins with. */
export function pointsOfAggregates(aggregates: Iterable<readonly [UnixSecond, Aggregate]>, resolution: Resolution): MetricPoint[] {
  const steps = new Map<UnixSecond, Aggregate>();
  for (const [at, aggregate] of aggregates) {
    const step = stepOf(steps, at, resolution);
    if (step !== null) addAggregate(step, aggregate);
  }
  return pointsOf(steps);
}

function stepOf(steps: Map<UnixSecond, Aggregate>, at: UnixSecond, { since, until, step }: Resolution): Aggregate | null {
  if (at < since || at >= until) return null;
  const start = at - (at % step);
  const known = steps.get(start);
  if (known !== undefined) return known;
  const empty = emptyAggregate();
  steps.set(start, empty);
  return empty;
}

function pointsOf(steps: Map<UnixSecond, Aggregate>): MetricPoint[] {
  return [...steps]
    .filter(([, { seconds }]) => seconds > 0)
    .sort(([a], [b]) => a - b)
    .map(([at, aggregate]) => pointOf(at, aggregate));
}

function pointOf(at: UnixSecond, step: Aggregate): MetricPoint {
  const { seconds } = step;
  const average = (sum: number, decimals = 1) => round(sum / seconds, decimals);
  const keyframe = mean(step.keyframeSum, step.keyframeSeconds);
  return {
    at: isoTime(at * 1000),
    seconds,
    viewers: average(step.viewerSeconds),
    viewers_max: step.viewersMax,
    pull: average(step.pullSeconds),
    joins: step.joins,
    ingress_kbps: average(step.ingressSum),
    ingress_kbps_min: round(step.ingressMin, 1),
    ingress_kbps_max: round(step.ingressMax, 1),
    egress_kbps: average(step.egressSum),
    fps: average(step.fpsSum, 2),
    fps_min: round(step.fpsMin, 2),
    dropped_frames: step.dropped,
    keyframe_interval: keyframe === null ? null : round(keyframe, 2),
    keyframe_interval_max: keyframe === null ? null : round(step.keyframeMax, 2),
    speed: average(step.speedSum, 3),
    speed_min: round(step.speedMin, 3),
    stalls: step.stalls,
    errors: step.errors,
    health_seconds: { good: step.goodSeconds, fair: step.fairSeconds, poor: step.poorSeconds },
    renditions: Object.fromEntries(Object.entries(step.renditions).map(([name, sum]) => [name, average(sum, 2)])),
  };
}

/** A number with at most so many decimals. */
export function round(value: number, decimals: number): number {
  return Math.round(value * 10 ** decimals) / 10 ** decimals;
}
