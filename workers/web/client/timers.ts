import type { SocketEnvironment } from "./socket-environment.ts";

/** Timers by name, each set once at a time. */
export class Timers<Name extends string> {
  readonly #environment: Pick<SocketEnvironment, "setTimeout" | "clearTimeout">;
  readonly #running = new Map<Name, unknown>();

  constructor(environment: Pick<SocketEnvironment, "setTimeout" | "clearTimeout">) {
    this.#environment = environment;
  }

  /** Takes the place of the timer of this name. */
  set(name: Name, delayMs: number, run: () => void): void {
    this.clear(name);
    const timer = this.#environment.setTimeout(() => {
      this.#running.delete(name);
      run();
    }, delayMs);
    this.#running.set(name, timer);
  }

  clear(name: Name): void {
    if (!this.#running.has(name)) return;
    this.#environment.clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  clearAll(): void {
    for (const name of [...this.#running.keys()]) this.clear(name);
  }

  has(name: Name): boolean {
    return this.#running.has(name);
  }
}
