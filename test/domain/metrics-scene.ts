import type { Sample } from "../../domain/metrics/sample.ts";

/** A second of a quiet, healthy broadcast, but for what is named. */
export function sampleAt(at: number, named: Partial<Sample> = {}): Sample {
  return {
    ...{ at, viewers: 10, pull: 1, joins: 0, ingressKbps: 2000, egressKbps: 20_000, fps: 30, dropped: 0, keyframeInterval: 2, speed: 1 },
    ...{ stalls: 0, errors: 0, health: "good", settled: true, renditions: { source: 8 } },
    ...named,
  };
}

/** So many seconds of it. */
export function samplesFrom(at: number, seconds: number, named: (index: number) => Partial<Sample> = () => ({})): Sample[] {
  return Array.from({ length: seconds }, (_, index) => sampleAt(at + index, named(index)));
}
