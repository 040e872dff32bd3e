/** Something to upload. */
export interface LaneItem {
  run(): Promise<void>;
}

/** Items uploaded one after the other, in order. */
export class Lane<Item extends LaneItem> {
  readonly #queue: Item[] = [];
  readonly #settle = new Map<Item, () => void>();
  readonly #onError: (error: unknown, item: Item) => void;
  #running: Promise<void> | null = null;
  #gate: Promise<unknown>;

  /** @param gate nothing runs before it */
  constructor(gate: Promise<unknown>, onError: (error: unknown, item: Item) => void) {
    this.#gate = gate;
    this.#onError = onError;
  }

  get empty(): boolean {
    return this.#queue.length === 0;
  }

  /** Adds an item. Resolves when it is through: uploaded, failed or taken out. */
  push(item: Item): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#settle.set(item, resolve);
    this.#queue.push(item);
    this.#running ??= this.#run();
    return promise;
  }

  /** Takes out the items that wait and meet a condition; the one under way stays. */
  take(condition: (item: Item) => boolean): Item[] {
    const taken = this.#queue.slice(1).filter(condition);
    for (const item of taken) this.#remove(item);
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
      this.#remove(item);
    }
    this.#running = null;
  }

  #remove(item: Item): void {
    this.#queue.splice(this.#queue.indexOf(item), 1);
    this.#settle.get(item)?.();
    this.#settle.delete(item);
  }
}
