import { setTimeout as sleep } from "node:timers/promises";
import { monotonicMs } from "./monotonic.ts";

/** How a server's count of viewers compares to the truth. */
export interface CountCheck {
  /** How far off the newest answer was when a second had passed: somebody who had no answer by then still has the count from before. */
  error: number;
  /** How long it took until an answer was right, s; null where none was within 15 s. */
  delay: number | null;
}

const DUE_MS = 1_000;
const GIVE_UP_MS = 15_000;
const PAUSE_MS = 20;

/** Asks for the count until it is right. `before`: what it was. */
export async function checkCount(countViewers: () => Promise<number>, before: number, expected: number): Promise<CountCheck> {
  const started = monotonicMs();
  let error = Math.abs(before - expected);
  for (;;) {
    const off = Math.abs((await countViewers()) - expected);
    const elapsed = monotonicMs() - started;
    if (elapsed <= DUE_MS) error = off;
    if (off === 0) return { error, delay: elapsed / 1000 };
    if (elapsed >= GIVE_UP_MS) return { error, delay: null };
    await sleep(PAUSE_MS);
  }
}
