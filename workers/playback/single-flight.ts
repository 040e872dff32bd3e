/** Longer than anything is held. */
const MAX_WAIT_MS = 60_000;

/**
 * Folds equal calls under way in this isolate into one. Each caller waits for a promise of its own request, which the first one's settles:
 * what runs after a promise of another request runs as that request, and may then not answer its own. A timer of its own keeps a waiting
 * request from being taken for one that hangs.
 */
export class SingleFlight<Answer> {
  readonly #flights = new Map<string, PromiseWithResolvers<Answer>[]>();

  /** The answer of the call under way with this key, or of a new one. `keepAlive` lets it end though the request that began it is gone. */
  run(key: string, call: () => Promise<Answer>, keepAlive: (call: Promise<unknown>) => void): Promise<Answer> {
    const flight = this.#flights.get(key);
    if (flight !== undefined) return join(flight);
    const waiting: PromiseWithResolvers<Answer>[] = [];
    this.#flights.set(key, waiting);
    const started = call().finally(() => this.#flights.delete(key));
    const settled = started.then(
      (answer) => {
        for (const { resolve } of waiting) resolve(answer);
      },
      (error: unknown) => {
        for (const { reject } of waiting) reject(error);
      },
    );
    keepAlive(settled);
    return started;
  }
}

async function join<Answer>(flight: PromiseWithResolvers<Answer>[]): Promise<Answer> {
  const own = Promise.withResolvers<Answer>();
  flight.push(own);
  const timer = setTimeout(() => own.reject(new Error("the call that others wait for did not end")), MAX_WAIT_MS);
  try {
    return await own.promise;
  } finally {
    clearTimeout(timer);
  }
}
