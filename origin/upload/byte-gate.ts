/** Lets in so many bytes at a time, in the order they ask; one alone may be larger. */
export class ByteGate {
  readonly #capacity: number;
  readonly #waiting = new Set<{ size: number; enter(): void }>();
  #inside = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Runs a body when there is room for its bytes, or when `signal` is aborted. Rejects as the body does. */
  async pass<Value>(size: number, signal: AbortSignal, body: () => Promise<Value>): Promise<Value> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { size, enter: resolve };
    const enterAnyway = () => this.#enter(waiter);
    this.#waiting.add(waiter);
    signal.addEventListener("abort", enterAnyway, { once: true });
    if (signal.aborted) enterAnyway();
    this.#admit();
    await promise;
    signal.removeEventListener("abort", enterAnyway);
    try {
      return await body();
    } finally {
      this.#inside -= size;
      this.#admit();
    }
  }

  #enter(waiter: { size: number; enter(): void }): void {
    if (!this.#waiting.delete(waiter)) return;
    this.#inside += waiter.size;
    waiter.enter();
  }

  #admit(): void {
    for (const waiter of this.#waiting) {
      if (this.#inside > 0 && this.#inside + waiter.size > this.#capacity) return;
      this.#enter(waiter);
    }
  }
}
