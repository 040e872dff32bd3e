import { setTimeout as sleep } from "node:timers/promises";
import { EdgeUnavailable } from "./edge-client.ts";
import type { EdgeHealth } from "./edge-health.ts";

const FIRST_MS = 100;
const LONGEST_MS = 1_000;

/** The wait before try number `attempt` (from 1), ms: doubling, capped, with half of it random so that many origins don't call at once. */
export function backoffMs(attempt: number, random: () => number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempt - 1));
  return ceiling / 2 + (ceiling / 2) * random();
}

/**
 * Repeats a call while the edge does not answer; with its `health`, waits for it instead of trying. Rejects with what else goes
 * wrong, or with the last failure once `signal` is aborted.
 */
export async function retrying<Value>(body: () => Promise<Value>, signal: AbortSignal, health?: EdgeHealth): Promise<Value> {
  for (let attempt = 1; ; attempt++) {
    await health?.up(signal);
    try {
      if (signal.aborted) throw new EdgeUnavailable("the edge did not answer in time");
      return await body();
    } catch (error) {
      if (!(error instanceof EdgeUnavailable) || signal.aborted) throw error;
      if (health?.away !== true) await sleep(backoffMs(attempt, Math.random), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) throw error;
    }
  }
}
