const START = 64;
const LEAST = 12;
const MOST = 256;
const WINDOW_MS = 500;
/** A window with fewer answers goes on: its median would say nothing. */
const MIN_ANSWERS = 5;
/** The way to the edge may change: what was its quickest is forgotten after a while. */
const MEMORY_MS = 60_000;
/** The edge is short of capacity where answers take this many times as long as at best, and this much longer. */
const SLOW_FACTOR = 3;
const SLOW_MS = 150;
const BACK_OFF = 0.8;
const STEP = 8;

/** How many calls an origin may have at the edge at a time, found by how long answers take: what is too many only queues there. Times in ms. */
export class CallLimit {
  #limit = START;
  #windowSince: number;
  #latencies: number[] = [];
  #wasReached = false;
  /** Medians of windows in which the edge's answers did not wait for our own other calls. */
  #medians: { at: number; ms: number }[] = [];
  #delay = 0;

  constructor(now: number) {
    this.#windowSince = now;
  }

  get limit(): number {
    return this.#limit;
  }

  /** How much longer answers take at present than at best. */
  get delay(): number {
    return this.#delay;
  }

  /** Somebody has to wait for the limit. */
  reached(): void {
    this.#wasReached = true;
  }

  /** The edge has answered a call of media. */
  answered(latency: number, now: number): void {
    this.#latencies.push(latency);
    if (now - this.#windowSince < WINDOW_MS || this.#latencies.length < MIN_ANSWERS) return;
    const median = medianOf(this.#latencies);
    // A median that our own calls have made is no measure; the fewest calls that we ever make are not to blame.
    if (!this.#wasReached || this.#limit === LEAST) this.#medians.push({ at: now, ms: median });
    while (this.#medians.length > 1 && (this.#medians[0]?.at ?? now) < now - MEMORY_MS) this.#medians.shift();
    this.#adjust(median);
    this.#windowSince = now;
    this.#latencies = [];
    this.#wasReached = false;
  }

  #adjust(median: number): void {
    const best = this.#medians.length === 0 ? 0 : Math.min(...this.#medians.map(({ ms }) => ms));
    this.#delay = Math.max(0, median - best);
    if (median > Math.max(best * SLOW_FACTOR, best + SLOW_MS)) this.#limit = Math.max(LEAST, Math.floor(this.#limit * BACK_OFF));
    else if (this.#wasReached) this.#limit = Math.min(MOST, this.#limit + STEP);
  }
}

function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
