import type { Found } from "./stream-lookup.ts";

/** A recording is there some seconds after its broadcast: waits before each look, ms. */
const WAITS_MS = [0, 1_500, 3_000, 6_000, 15_000, 40_000];

/** Looks for the recording of a broadcast that is over, a few times; a clear answer ends the search. */
export class RecordingSearch {
  readonly #look: () => Promise<Found>;
  readonly #onFound: () => void;
  #run = 0;

  constructor(look: () => Promise<Found>, onFound: () => void) {
    this.#look = look;
    this.#onFound = onFound;
  }

  start(): void {
    void this.#search(++this.#run);
  }

  /** Whatever a look under way finds is not told. */
  stop(): void {
    this.#run += 1;
  }

  async #search(run: number): Promise<void> {
    for (const waitMs of WAITS_MS) {
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      if (run !== this.#run) return;
      const found = await this.#look();
      if (run !== this.#run) return;
      if (found === "there") return this.#onFound();
      if (found !== "unknown") return;
    }
  }
}
