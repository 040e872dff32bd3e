import { setTimeout as sleep } from "node:timers/promises";
import { EdgeUnavailable } from "./edge-client.ts";

const FIRST_MS = 100;
const LONGEST_MS = 3_000;

/** The wait before try number `attempt` (from 1), ms: doubling, capped, with half of it random so that many origins don't call at once. */
export function backoffMs(attempt: number, random: () => number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempt - 1));
  return ceiling / 2 + (ceiling / 2) * random();
}

/** Repeats a call while the edge does not answer. Rejects with what else goes wrong, or with the last failure once `signal` is aborted. */
export async function retrying<Value>(body: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await body();
    } catch (error) {
      if (!(error instanceof EdgeUnavailable) || signal.aborted) throw error;
      await sleep(backoffMs(attempt, Math.random), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) throw error;
    }
  }
}
