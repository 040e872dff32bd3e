import type { Millis } from "../../domain/time.ts";
import type { RetriedTask } from "./retried-task.ts";

/** One alarm for all that is due, and the tasks that go on beside requests: an object has no second alarm. */
export class AlarmClock {
  readonly #ctx: DurableObjectState;
  readonly #tasks: readonly RetriedTask[];
  readonly #timers: (now: Millis) => (Millis | null)[];
  readonly #onTaskDone: () => void;
  /** When the alarm is set for, as far as this life of the object knows. */
  #alarmAt: Millis | null = null;

  /** `timers` gives the times of everything else that is due. */
  constructor(ctx: DurableObjectState, tasks: readonly RetriedTask[], timers: (now: Millis) => (Millis | null)[], onTaskDone: () => void) {
    this.#ctx = ctx;
    this.#tasks = tasks;
    this.#timers = timers;
    this.#onTaskDone = onTaskDone;
  }

  /** The alarm has fired, perhaps too early: what is due asks the clock, and `schedule` sets it anew. */
  fired(): void {
    this.#alarmAt = null;
  }

  /** Sets the alarm for the earliest that is due. It is only ever moved earlier. */
  schedule(now: Millis): void {
    const times = [...this.#timers(now), ...this.#tasks.map((task) => task.dueAt)].filter((at) => at !== null);
    if (times.length === 0) return;
    const at = Math.max(Math.min(...times), now);
    if (this.#alarmAt !== null && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    this.#ctx.waitUntil(this.#ctx.storage.setAlarm(at));
  }

  /** Begins the tasks that are due, beside the request that brought it. */
  runTasks(now: Millis): void {
    for (const task of this.#tasks) {
      if (!isDue(task.dueAt, now)) continue;
      const done = () => {
        this.#onTaskDone();
        // One task's end may be another's beginning.
        this.runTasks(Date.now());
        this.schedule(Date.now());
      };
      this.#ctx.waitUntil(task.run(now).finally(done));
    }
  }
}

export function isDue(at: Millis | null, now: Millis): boolean {
  return at !== null && at <= now;
}
