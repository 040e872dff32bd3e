import { setTimeout as sleep } from "node:timers/promises";

const PAUSE_MS = 5;
const TIMEOUT_MS = 15_000;

/** Asks again, 5 ms after each answer, until the answer is not null. `at`: when it was whole, ms of `performance.now()`. Rejects after 15 s, naming `what`. */
export async function pollUntil<Value>(what: string, ask: () => Promise<Value | null>): Promise<{ value: Value; at: number }> {
  const giveUp = performance.now() + TIMEOUT_MS;
  for (;;) {
    const value = await ask();
    const at = performance.now();
    if (value !== null) return { value, at };
    if (at > giveUp) throw new Error(`${what} was not there after ${TIMEOUT_MS / 1000} s`);
    await sleep(PAUSE_MS);
  }
}

/** The body of a 200; null for any 404. Throws for everything else. */
export async function fetchBytes(url: string): Promise<Buffer | null> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (answer.status === 200) return bytes;
  if (answer.status === 404) return null;
  throw new Error(`${new URL(url).pathname} answered ${answer.status}`);
}
