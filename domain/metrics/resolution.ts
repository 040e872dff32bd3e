import { NovaError } from "../errors.ts";
import type { Millis } from "../time.ts";
import type { UnixSecond } from "./sample.ts";

/** How long seconds are kept, and minutes. */
export const SECONDS_KEPT: UnixSecond = 86_400;
export const MINUTES_KEPT: UnixSecond = 30 * 86_400;
/** Most points of an answer. */
export const MAX_POINTS = 1_000;
/** Steps that points can have, seconds: each a whole number of times in a day, those from a minute on made of whole minutes. */
export const STEPS = [1, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400] as const;

const MINUTE: UnixSecond = 60;
const HOUR: UnixSecond = 3_600;
const DEFAULT_RANGE: UnixSecond = HOUR;
const MAX_RANGE: UnixSecond = 31 * 86_400;

/** What is asked for; null where it is left to us. */
interface AskedRange {
  since: Millis | null;
  until: Millis | null;
  /** Seconds. */
  step: number | null;
}

/** What is answered: whole steps, of which the first begins at `since` and the last ends at `until`. */
export interface Resolution {
  since: UnixSecond;
  until: UnixSecond;
  step: number;
  /** What the points are made of. */
  from: "seconds" | "minutes" | "hours";
}

/**
 * How a range is answered with at most 1,000 points: the step that is asked for, or the next longer one that does, and at least a minute where the range
 * begins before what is kept of each second. Without a step the shortest that does. Throws 400 `invalid_request`.
 */
export function decideResolution(query: AskedRange, now: Millis): Resolution {
  const untilMs = query.until ?? now;
  const sinceMs = query.since ?? untilMs - DEFAULT_RANGE * 1000;
  if (sinceMs >= untilMs) throw invalid("since", "must be before `until`, which is now where it is left out");
  if (untilMs - sinceMs > MAX_RANGE * 1000) throw invalid("since", "at most 31 days before `until`: ask for less at once");
  const isOld = sinceMs < now - SECONDS_KEPT * 1000;
  const shortest = Math.max(query.step ?? 0, isOld ? MINUTE : 0);
  for (const step of STEPS) {
    if (step < shortest) continue;
    const since = Math.floor(sinceMs / 1000 / step) * step;
    const until = Math.ceil(untilMs / 1000 / step) * step;
    if ((until - since) / step <= MAX_POINTS)
      return { since, until, step, from: step < MINUTE ? "seconds" : step < HOUR ? "minutes" : "hours" };
  }
  throw invalid("step", `at most ${STEPS.at(-1)} s`);
}

function invalid(field: string, message: string): NovaError {
  return new NovaError(400, "invalid_request", `${field}: ${message}`, [{ field, message }]);
}
