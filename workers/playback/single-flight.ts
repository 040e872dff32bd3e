/**
 * Folds equal calls under way in this isolate into one. Callers in different requests may share a call: the runtime lets a promise of
 * one request be awaited in another.
 */
export class SingleFlight<Answer> {
  readonly #flights = new Map<string, Promise<Answer>>();

  /** The answer of the call under way with this key, or of a new one. `keepAlive` lets it end though the request that began it is gone. */
  run(key: string, call: () => Promise<Answer>, keepAlive: (call: Promise<unknown>) => void): Promise<Answer> {
    const flight = this.#flights.get(key);
    if (flight !== undefined) return flight;
    const started = call().finally(() => this.#flights.delete(key));
    this.#flights.set(key, started);
    keepAlive(started.catch(() => undefined));
    return started;
  }
}
