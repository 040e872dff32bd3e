import type { Sample } from "./sample.ts";

/**
 * What the seconds of any length of time come to, and how two of them are put together. The order is that of the stored rows: a new figure goes behind
 * the last.
 */
const FIGURES = {
  /** Seconds that have a sample. */
  seconds: "sum",
  viewerSeconds: "sum",
  viewersMax: "max",
  pullSeconds: "sum",
  joins: "sum",
  /** Of a sum of kbit/s, each for a second: kbit. */
  ingressSum: "sum",
  ingressMin: "min",
  ingressMax: "max",
  egressSum: "sum",
  fpsSum: "sum",
  fpsMin: "min",
  dropped: "sum",
  stalls: "sum",
  errors: "sum",
  /** Of the seconds in which it was known. */
  keyframeSum: "sum",
  keyframeSeconds: "sum",
  keyframeMax: "max",
  speedSum: "sum",
  speedMin: "min",
  goodSeconds: "sum",
  fairSeconds: "sum",
  poorSeconds: "sum",
  /** Of settled seconds, to tell how steady they are. */
  settledSeconds: "sum",
  settledIngressSum: "sum",
  settledIngressSquares: "sum",
  settledFpsSum: "sum",
  settledFpsSquares: "sum",
} as const;

type Figure = keyof typeof FIGURES;
const NAMES = Object.keys(FIGURES) as Figure[];
const STARTS = { sum: 0, max: 0, min: Number.POSITIVE_INFINITY };
const NOTHING = Object.fromEntries(NAMES.map((name) => [name, STARTS[FIGURES[name]]])) as Record<Figure, number>;

/** Figures of a length of time, which can be put together with those of another. */
export type Aggregate = Record<Figure, number> & {
  /** Viewer-seconds by rendition, of viewers who have said what they play. */
  renditions: Record<string, number>;
};

/** An aggregate without names, as it lies in a row; a minimum of nothing is null. */
export type PackedAggregate = [...(number | null | Record<string, number>)[]];

/** The aggregate of nothing. */
export function emptyAggregate(): Aggregate {
  return { ...NOTHING, renditions: {} };
}

/** Adds a second to an aggregate, in place. */
export function addSample(into: Aggregate, sample: Sample): void {
  const { viewers, pull, joins, ingressKbps, egressKbps, fps, dropped, stalls, errors, keyframeInterval, speed, health } = sample;
  into.seconds += 1;
  into.viewerSeconds += viewers;
  into.viewersMax = Math.max(into.viewersMax, viewers);
  into.pullSeconds += pull;
  into.joins += joins;
  into.ingressSum += ingressKbps;
  into.ingressMin = Math.min(into.ingressMin, ingressKbps);
  into.ingressMax = Math.max(into.ingressMax, ingressKbps);
  into.egressSum += egressKbps;
  into.fpsSum += fps;
  into.fpsMin = Math.min(into.fpsMin, fps);
  into.dropped += dropped;
  into.stalls += stalls;
  into.errors += errors;
  if (keyframeInterval !== null) {
    into.keyframeSum += keyframeInterval;
    into.keyframeSeconds += 1;
    into.keyframeMax = Math.max(into.keyframeMax, keyframeInterval);
  }
  into.speedSum += speed;
  into.speedMin = Math.min(into.speedMin, speed);
  into[`${health}Seconds`] += 1;
  if (sample.settled) {
    into.settledSeconds += 1;
    into.settledIngressSum += ingressKbps;
    into.settledIngressSquares += ingressKbps ** 2;
    into.settledFpsSum += fps;
    into.settledFpsSquares += fps ** 2;
  }
  addCounts(into.renditions, sample.renditions);
}

/** Adds an aggregate to another, in place. */
export function addAggregate(into: Aggregate, other: Aggregate): void {
  for (const name of NAMES) {
    const rule = FIGURES[name];
    into[name] = rule === "sum" ? into[name] + other[name] : Math[rule](into[name], other[name]);
  }
  addCounts(into.renditions, other.renditions);
}

/** The aggregate of some seconds. */
export function aggregateOf(samples: Iterable<Sample>): Aggregate {
  const aggregate = emptyAggregate();
  for (const sample of samples) addSample(aggregate, sample);
  return aggregate;
}

/** An aggregate as it lies in a row. */
export function packAggregate(aggregate: Aggregate): PackedAggregate {
  const figures = NAMES.map((name) => (Number.isFinite(aggregate[name]) ? Math.round(aggregate[name] * 1000) / 1000 : null));
  return [aggregate.renditions, ...figures];
}

/** The aggregate of a row. */
export function unpackAggregate([renditions, ...figures]: PackedAggregate): Aggregate {
  const aggregate: Aggregate = { ...NOTHING, renditions: renditions as Record<string, number> };
  NAMES.forEach((name, index) => {
    const figure = figures[index];
    if (typeof figure === "number") aggregate[name] = figure;
  });
  return aggregate;
}

/** Mean of a sum over a number; null where there is nothing to divide by. */
export function mean(sum: number, count: number): number | null {
  return count === 0 ? null : sum / count;
}

/** How far values lie from their mean, as a share of it (coefficient of variation); null without values, or with a mean of 0. */
export function variation(sum: number, squares: number, count: number): number | null {
  if (count === 0 || sum === 0) return null;
  const average = sum / count;
  return Math.sqrt(Math.max(0, squares / count - average ** 2)) / average;
}

function addCounts(into: Record<string, number>, counts: Record<string, number>): void {
  for (const [name, count] of Object.entries(counts)) into[name] = (Object.hasOwn(into, name) ? (into[name] ?? 0) : 0) + count;
}
