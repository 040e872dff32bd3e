/** How long a stream that was live is taken for live without asking. */
const LIVE_MS = 30_000;
const MAX_STREAMS = 1_000;

/** Which streams were live a moment ago, as far as this isolate knows: no recording is looked for at their address. */
export class LiveMemo {
  /** Oldest first. */
  readonly #until = new Map<string, number>();

  has(stream: string, broadcast: number | null): boolean {
    return (this.#until.get(keyOf(stream, broadcast)) ?? 0) > Date.now();
  }

  note(stream: string, broadcast: number | null): void {
    const key = keyOf(stream, broadcast);
    this.#until.delete(key);
    this.#until.set(key, Date.now() + LIVE_MS);
    const [oldest] = this.#until.keys();
    if (this.#until.size > MAX_STREAMS && oldest !== undefined) this.#until.delete(oldest);
  }

  forget(stream: string, broadcast: number | null): void {
    this.#until.delete(keyOf(stream, broadcast));
  }
}

function keyOf(stream: string, broadcast: number | null): string {
  return `${stream}/${broadcast ?? ""}`;
}
