/** One measured figure, as `npm run bench` prints it. */
export interface Figure {
  bench: string;
  /** `nova`, or the peer's name. */
  subject: string;
  metric: string;
  value: number;
  unit: "s" | "percent" | "MB" | "MB/h" | "parts" | "1/s" | "events" | "viewers" | "reads" | "streams" | "files" | "ratio";
  /** How many observations stand behind the value. */
  n: number;
}

/** What a file of test/bench exports as `bench`: measures, emits each figure once, rejects where it could not measure. */
export type Bench = (options: string[], run: BenchRun) => Promise<void>;

/** What a bench is given. */
export interface BenchRun {
  emit(figure: Figure): void;
  /** Words for the person who waits. */
  say(line: string): void;
  cleanup: Cleanup;
}

/** Undoes what a run did, latest first; also where the run is interrupted. */
export class Cleanup {
  readonly #tasks: (() => unknown)[] = [];
  #running: Promise<unknown> | null = null;

  /** Once the cleaning has begun, runs the task at once and throws: nothing more is to be set up. */
  add(task: () => unknown): void {
    this.#tasks.push(task);
    if (this.#running === null) return;
    this.#running = Promise.all([this.#running, this.#runAll()]);
    throw new Error("the run was interrupted");
  }

  /** Runs each task once, one after the other; a failing one does not keep the others from running. */
  async run(): Promise<void> {
    this.#running ??= this.#runAll();
    for (let awaited: unknown = null; awaited !== this.#running; ) {
      awaited = this.#running;
      await awaited;
    }
  }

  async #runAll(): Promise<void> {
    for (let task = this.#tasks.pop(); task !== undefined; task = this.#tasks.pop()) {
      try {
        await task();
      } catch (error) {
        console.error(`bench: cleaning up failed: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
}

/** The value that the given share (0–1) of the observations does not exceed. Throws where there are none. */
export function percentile(observations: readonly number[], share: number): number {
  const sorted = [...observations].sort((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
  if (value === undefined) throw new Error("nothing was observed");
  return value;
}

/** Undoes what `task` set up as soon as it is done; an interruption of the whole run undoes it too. */
export async function scoped(run: BenchRun, task: (run: BenchRun) => Promise<void>): Promise<void> {
  const cleanup = new Cleanup();
  run.cleanup.add(() => cleanup.run());
  try {
    await task({ ...run, cleanup });
  } finally {
    await cleanup.run();
  }
}
