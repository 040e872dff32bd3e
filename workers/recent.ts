const MAX_ENTRIES = 1_000;

/** What this isolate learned a moment ago, by key: bounded in number, and good for a while only. */
export class Recent<Value> {
  readonly #lifetimeMs: number;
  /** Oldest first. */
  readonly #entries = new Map<string, { value: Value; until: number }>();

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs;
  }

  /** What is known; undefined where nothing is, or no more. */
  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.until > Date.now() ? entry.value : undefined;
  }

  set(key: string, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: Date.now() + this.#lifetimeMs });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
