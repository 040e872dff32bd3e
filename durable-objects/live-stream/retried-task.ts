import type { Millis } from "../../domain/time.ts";

const RETRY_MS: Millis = 1_000;
const MAX_RETRY_MS: Millis = 60_000;

/** What a task does. `dueAt` looks at what is stored, so that a task that was under way goes on after a loss of memory. */
export interface Task {
  /** When there is something to do, Unix ms; 0 for at once; null for nothing. */
  dueAt: () => Millis | null;
  /** Does what is due. Rejects where it has to be tried again; `failures` counts how often in a row it has. */
  run: (now: Millis, failures: number) => Promise<void>;
}

/** Work of the object with storage that may fail: once at a time, and again, ever more slowly, until it is done. */
export class RetriedTask {
  readonly #name: string;
  readonly #task: Task;
  #running: Promise<void> | null = null;
  #failures = 0;
  #retryAt: Millis = 0;

  /** `name` stands in the log where it fails. */
  constructor(name: string, task: Task) {
    this.#name = name;
    this.#task = task;
  }

  /** When to call `run`; null where nothing is to be done, or it is under way. */
  get dueAt(): Millis | null {
    if (this.#running !== null) return null;
    const dueAt = this.#task.dueAt();
    return dueAt === null ? null : Math.max(dueAt, this.#retryAt);
  }

  /** Does what is due. Never rejects. */
  run(now: Millis): Promise<void> {
    this.#running ??= this.#try(now).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #try(now: Millis): Promise<void> {
    try {
      await this.#task.run(now, this.#failures);
      this.#failures = 0;
      this.#retryAt = 0;
    } catch (error) {
      this.#failures += 1;
      this.#retryAt = Date.now() + Math.min(RETRY_MS * 2 ** (this.#failures - 1), MAX_RETRY_MS);
      console.warn(JSON.stringify({ event: "task_failed", task: this.#name, attempt: this.#failures, error: String(error) }));
    }
  }
}
