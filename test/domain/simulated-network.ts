import type { Millis } from "../../domain/time.ts";

/** What a network does to a message, decided by a reproducible sequence of numbers. */
export interface NetworkFaults {
  seed: number;
  /** Shares of the messages, 0 … 1. */
  lost: number;
  doubled: number;
  /** Each copy takes a time between these: so they overtake each other. */
  delay: { min: Millis; max: Millis };
}

/** Numbers that look random and are the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Delivery {
  at: Millis;
  /** Decides between those of the same time. */
  order: number;
  run: () => void;
}

/** Carries messages between members: late, out of order, twice or never. */
export class SimulatedNetwork {
  faults: NetworkFaults;
  readonly #random: () => number;
  /** What is under way: a binary heap, the soonest first. */
  readonly #heap: Delivery[] = [];
  #sent = 0;

  constructor(faults: NetworkFaults) {
    this.faults = faults;
    this.#random = randomNumbers(faults.seed);
  }

  get inFlight(): number {
    return this.#heap.length;
  }

  /** Delivers at a time that the faults say, or not at all. */
  send(now: Millis, deliver: () => void): void {
    const { lost, doubled, delay } = this.faults;
    if (this.#random() < lost) return;
    const copies = this.#random() < doubled ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      this.after(now, delay.min + Math.floor(this.#random() * (delay.max - delay.min + 1)), deliver);
    }
  }

  /** Runs something for certain, so much later. */
  after(now: Millis, wait: Millis, run: () => void): void {
    const heap = this.#heap;
    const added = { at: now + Math.max(1, wait), order: this.#sent++, run };
    let hole = heap.push(added) - 1;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!isSooner(added, heap[parent] as Delivery)) break;
      heap[hole] = heap[parent] as Delivery;
      hole = parent;
    }
    heap[hole] = added;
  }

  /** Delivers what is due up to a time, in order; what follows from it may be due as well. */
  deliver(to: Millis, clock: (now: Millis) => void): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= to; next = this.#heap[0]) {
      this.#removeFirst();
      clock(next.at);
      next.run();
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const moved = heap.pop() as Delivery;
    if (heap.length === 0) return;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isSooner(heap[child + 1] as Delivery, heap[child] as Delivery)) child++;
      if (!isSooner(heap[child] as Delivery, moved)) break;
      heap[hole] = heap[child] as Delivery;
      hole = child;
    }
    heap[hole] = moved;
  }
}

function isSooner(one: Delivery, other: Delivery): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
