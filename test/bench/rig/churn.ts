import { setTimeout as sleep } from "node:timers/promises";
import type { Encoders } from "./encoders.ts";

/** An encoder that is back too early is told so, and comes again. */
const PATIENCE_MS = 1_000;
const ATTEMPTS = 15;

/** Encoders that come and go, and visitors who talk nonsense. */
export class Churn {
  readonly #encoders: Encoders;
  /** Those that it may disturb. */
  readonly #indices: number[];
  #turn = 0;
  /** How often an encoder that came back was refused at first. */
  refusals = 0;
  /** How much of each was done. */
  readonly done = { restarts: 0, reconnects: 0, garbage: 0 };

  constructor(encoders: Encoders, indices: number[]) {
    this.#encoders = encoders;
    this.#indices = indices;
  }

  /** The next disturbance. When it is over all encoders are live again. Rejects where one is refused for good. */
  async disturb(): Promise<void> {
    const index = this.#indices[Math.floor(this.#turn / 2) % this.#indices.length];
    const isRestart = this.#turn % 4 < 2;
    if (this.#turn++ % 2 === 1 || index === undefined) {
      this.done.garbage += 1;
      return this.#encoders.sendGarbage();
    }
    if (isRestart) {
      this.done.restarts += 1;
      await this.#encoders.stop([index]);
    } else {
      this.done.reconnects += 1;
      await this.#encoders.abort([index]);
    }
    await this.#bringBack(index);
  }

  async #bringBack(index: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#encoders.start([index], 0);
      } catch (error) {
        this.refusals += 1;
        if (attempt === ATTEMPTS) throw error;
        await sleep(PATIENCE_MS);
      }
    }
  }
}
