/** Something to upload. */
export interface LaneItem {
  run(): Promise<void>;
}

/** Items uploaded one after the other, in order. */
export class Lane<Item extends LaneItem> {
  readonly #queue: Item[] = [];
  readonly #onError: (error: unknown, item: Item) => void;
  readonly #gate: Promise<void>;
  #running: Promise<void> | null = null;

  /** @param gate nothing runs before it */
  constructor(gate: Promise<void>, onError: (error: unknown, item: Item) => void) {
    this.#gate = gate;
    this.#onError = onError;
  }

  get empty(): boolean {
    return this.#queue.length === 0;
  }

  push(item: Item): void {
    this.#queue.push(item);
    this.#running ??= this.#run();
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #run(): Promise<void> {
    await this.#gate;
    for (let item = this.#queue[0]; item !== undefined; item = this.#queue[0]) {
      try {
        await item.run();
      } catch (error) {
        this.#onError(error, item);
      }
      this.#queue.shift();
    }
    this.#running = null;
  }
}
