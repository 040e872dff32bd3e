/** Something to upload. */
export interface LaneItem {
  /** What it weighs in memory, bytes. */
  size: number;
  run(): Promise<void>;
}

/** Items uploaded one after the other, in order. */
export class Lane<Item extends LaneItem> {
  readonly #queue: Item[] = [];
  readonly #onError: (error: unknown, item: Item) => void;
  #running: Promise<void> | null = null;
  #gate: Promise<unknown>;

  /** @param gate nothing runs before it */
  constructor(gate: Promise<unknown>, onError: (error: unknown, item: Item) => void) {
    this.#gate = gate;
    this.#onError = onError;
  }

  /** Bytes that wait or are under way. */
  get bytes(): number {
    return this.#queue.reduce((sum, item) => sum + item.size, 0);
  }

  push(item: Item): void {
    this.#queue.push(item);
    this.#running ??= this.#run();
  }

  /** Takes out the items that wait and meet a condition; the one under way stays. */
  take(condition: (item: Item) => boolean): Item[] {
    const taken = this.#queue.slice(1).filter(condition);
    for (const item of taken) this.#queue.splice(this.#queue.indexOf(item), 1);
    return taken;
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
      this.#queue.splice(this.#queue.indexOf(item), 1);
    }
    this.#running = null;
  }
}
