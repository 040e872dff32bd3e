import { setTimeout as sleep } from "node:timers/promises";
import { monotonicMs } from "./monotonic.ts";

/** How a server's count of viewers compares to the truth. */
export interface CountCheck {
  /** How far off it was when it had had its second. */
  error: number;
  /** How long it took to be right, s; null where it was not within 15 s. */
  delay: number | null;
}

const DUE_MS = 1_000;
const GIVE_UP_MS = 15_000;
const PAUSE_MS = 20;

/** Asks for the count until it is right. */
export async function checkCount(countViewers: () => Promise<number>, expected: number): Promise<CountCheck> {
  const started = monotonicMs();
  let error: number | null = null;
  for (;;) {
    const off = Math.abs((await countViewers()) - expected);
    const elapsed = monotonicMs() - started;
    if (elapsed >= DUE_MS) error ??= off;
    if (off === 0) return { error: error ?? 0, delay: elapsed / 1000 };
    if (elapsed >= GIVE_UP_MS) return { error: error ?? off, delay: null };
    await sleep(PAUSE_MS);
  }
}
