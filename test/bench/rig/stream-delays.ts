import type { Cadence } from "./cadence.ts";
import type { FrameClock } from "./frame-clock.ts";
import { type Delays, type Output, type Period, watch } from "./watch.ts";

/** Streams that are followed from their first frame on: their delays together, and why following any of them failed. */
export class StreamDelays {
  readonly delays: Delays = { parts: [], segments: [], missingParts: 0 };
  readonly failures: string[] = [];
  readonly #period: Period = { from: Number.POSITIVE_INFINITY, until: Number.POSITIVE_INFINITY };
  readonly #watches: Promise<unknown>[] = [];

  /** Follows a stream that `what` names, from its first frame on. */
  follow(clock: FrameClock, what: string, output: Output, cadence: Cadence): void {
    const watching = watch(clock, output, cadence, this.#period, this.delays).catch((error: unknown) => {
      if (this.#period.until > performance.now()) this.failures.push(`${what}: ${error instanceof Error ? error.message : error}`);
    });
    this.#watches.push(watching);
  }

  begin(): void {
    this.#period.from = performance.now();
  }

  /** Resolves when all that was sent up to now has come. */
  async end(): Promise<void> {
    this.#period.until = performance.now();
    await Promise.all(this.#watches);
  }
}
