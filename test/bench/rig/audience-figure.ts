import { type BenchRun, type Figure, percentile } from "./figure.ts";

/** Emits the figures of one subject in one bench. */
export class AudienceFigures {
  readonly #run: BenchRun;
  readonly #bench: string;
  readonly #subject: string;

  constructor(run: BenchRun, bench: string, subject: string) {
    this.#run = run;
    this.#bench = bench;
    this.#subject = subject;
  }

  /** `n`: how many observations stand behind the value. */
  emit(metric: string, value: number, unit: Figure["unit"], n: number): void {
    this.#run.emit({ bench: this.#bench, subject: this.#subject, metric, value: Math.round(value * 10_000) / 10_000, unit, n });
  }

  /** Nothing where nothing was observed. */
  emitPercentile(metric: string, observed: readonly number[], share: number): void {
    if (observed.length > 0) this.emit(metric, percentile(observed, share), "s", observed.length);
  }
}
