import type { ProcessUsage } from "./process-usage.ts";

interface Reading {
  atSeconds: number;
  mb: number;
}

const SECONDS_PER_HOUR = 3600;

/** Memory over time. */
export class MemorySeries {
  readonly #readings: Reading[] = [];

  /** Notes what some processes have together; `at` in ms. */
  note(at: number, processes: ProcessUsage[]): void {
    this.#readings.push({ atSeconds: at / 1000, mb: processes.reduce((sum, { pssMb }) => sum + pssMb, 0) });
  }

  get count(): number {
    return this.#readings.length;
  }

  /** MB in an hour: the line with the least squares through all readings. */
  slope(): number {
    const mean = (of: (reading: Reading) => number) => this.#readings.reduce((sum, reading) => sum + of(reading), 0) / this.count;
    const at = mean(({ atSeconds }) => atSeconds);
    const mb = mean((reading) => reading.mb);
    const covariance = mean((reading) => (reading.atSeconds - at) * (reading.mb - mb));
    const variance = mean((reading) => (reading.atSeconds - at) ** 2);
    return variance === 0 ? 0 : (covariance / variance) * SECONDS_PER_HOUR;
  }

  /** Mean of the first tenth, and of the last. */
  ends(): { first: number; last: number } {
    const some = Math.max(1, Math.floor(this.count / 10));
    const mean = (readings: Reading[]) => readings.reduce((sum, { mb }) => sum + mb, 0) / readings.length;
    return { first: mean(this.#readings.slice(0, some)), last: mean(this.#readings.slice(-some)) };
  }
}
