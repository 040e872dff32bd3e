import type { Millis } from "../../domain/time.ts";

/** Something that a viewer did: from the moment `started` on it may have happened, from `finished` on it has. Unix ms. */
export interface Operation {
  viewer: string;
  to: "present" | "absent";
  started: Millis;
  finished: Millis;
}

/** A count that somebody was told, or was shown still, and when. */
export interface Sighting {
  count: number;
  at: Millis;
}

/** A count that could not have been told then. */
export interface Contradiction extends Sighting {
  /** What it could have been. */
  possible: [least: number, most: number][];
}

/**
 * Says which counts no order of the operations explains: one is explained where some moment of the last `freshness` ms could have had so many
 * viewers. Only who leaves may come back before the operation is finished; otherwise a viewer's operations follow one another.
 */
export function findContradictions(operations: readonly Operation[], sightings: readonly Sighting[], freshness: Millis): Contradiction[] {
  const bounds = computeBounds(operations);
  return sightings.flatMap(({ count, at }) => {
    const possible = boundsBetween(bounds, at - freshness, at);
    return possible.some(([least, most]) => least <= count && count <= most) ? [] : [{ count, at, possible }];
  });
}

/** What a screen that shows the newest count shows at each step of time until `end`. */
export function shownOverTime(told: readonly Sighting[], end: Millis, step: Millis): Sighting[] {
  const shown: Sighting[] = [];
  for (const [index, { count, at }] of told.entries()) {
    const until = Math.min(told[index + 1]?.at ?? end, end);
    for (let time = at; time < until; time += step) shown.push({ count, at: time });
  }
  return shown;
}

/** From when on there were so many viewers at least, and at most. */
interface Bound {
  from: Millis;
  least: number;
  most: number;
}

/** Rising in time; the last holds for ever. */
function computeBounds(operations: readonly Operation[]): Bound[] {
  const changes = new Map<Millis, { least: number; most: number }>();
  const change = (at: Millis, least: number, most: number) => {
    const known = changes.get(at) ?? { least: 0, most: 0 };
    changes.set(at, { least: known.least + least, most: known.most + most });
  };
  for (const steps of Map.groupBy(operations, ({ viewer }) => viewer).values()) {
    const inOrder = steps.sort((a, b) => a.started - b.started).filter(({ to }, index) => to !== (steps[index - 1]?.to ?? "absent"));
    for (const [index, { to, started, finished }] of inOrder.entries()) {
      change(started, to === "present" ? 0 : -1, to === "present" ? 1 : 0);
      // Who comes back before it is sure that he left is one viewer, not two.
      const end = Math.min(finished, inOrder[index + 1]?.started ?? finished);
      change(to === "present" ? finished : end, to === "present" ? 1 : 0, to === "present" ? 0 : -1);
    }
  }
  const bounds: Bound[] = [{ from: Number.NEGATIVE_INFINITY, least: 0, most: 0 }];
  for (const [from, { least, most }] of [...changes].sort(([a], [b]) => a - b)) {
    const before = bounds.at(-1) as Bound;
    bounds.push({ from, least: before.least + least, most: before.most + most });
  }
  return bounds;
}

function boundsBetween(bounds: readonly Bound[], from: Millis, to: Millis): [number, number][] {
  return bounds
    .filter((bound, index) => bound.from <= to && (bounds[index + 1]?.from ?? Number.POSITIVE_INFINITY) > from)
    .map(({ least, most }) => [least, most]);
}
