import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../log.ts";

const FIRST_PROBE_MS = 250;
const LONGEST_PROBE_MS = 1_000;
/** An edge that has answered anybody this lately is there, whatever becomes of single connections. */
const RECENT_MS = 1_000;

/** What tells that the edge answers again, and what happens when it surely does not. */
export interface EdgeHealthOptions {
  /** One cheap call. Resolves with whether the edge answered; never rejects. */
  probe(): Promise<boolean>;
  /** The edge is away for sure: calls under way wait for nothing. */
  onAway(): void;
  log: Log | null;
}

/** Whether the edge answers at all, for a whole origin: while it does not, nobody calls it but one probe, and its first answer wakes everybody. */
export class EdgeHealth {
  readonly #options: EdgeHealthOptions;
  /** Monotonic, ms. */
  #answeredAt = Number.NEGATIVE_INFINITY;
  #away: { since: number; said: boolean; back: PromiseWithResolvers<void> } | null = null;
  #closed = false;

  constructor(options: EdgeHealthOptions) {
    this.#options = options;
  }

  get away(): boolean {
    return this.#away !== null;
  }

  /** How long it has not answered, seconds; null while it does. */
  get awaySeconds(): number | null {
    return this.#away === null ? null : (performance.now() - this.#away.since) / 1000;
  }

  /** The edge answered, whatever it said. */
  answered(): void {
    this.#answeredAt = performance.now();
    const away = this.#away;
    if (away === null) return;
    this.#away = null;
    if (away.said) this.#options.log?.info({ seconds: round((performance.now() - away.since) / 1000) }, "the edge answers again");
    away.back.resolve();
  }

  /** A call that began at `startedAt` (monotonic, ms) got no answer. It says nothing of the edge where another call has got one since, or a moment ago. */
  unanswered(startedAt: number, reason: string): void {
    const since = Math.min(startedAt, performance.now() - RECENT_MS);
    if (this.#away !== null || this.#closed || this.#answeredAt > since) return;
    const away = { since, said: false, back: Promise.withResolvers<void>() };
    this.#away = away;
    void this.#probeUntilBack(away, reason);
  }

  /** Resolves when the edge answers, or `signal` is aborted. */
  async up(signal: AbortSignal): Promise<void> {
    if (this.#away === null || signal.aborted) return;
    const { back } = this.#away;
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    await Promise.race([back.promise, aborted.promise]);
    signal.removeEventListener("abort", onAbort);
  }

  /** Stops to probe; who waits goes on, and fails. */
  close(): void {
    this.#closed = true;
    this.#away?.back.resolve();
    this.#away = null;
  }

  async #probeUntilBack(away: { said: boolean }, reason: string): Promise<void> {
    const isAway = () => this.#away === away;
    for (let wait = FIRST_PROBE_MS; isAway(); wait = Math.min(LONGEST_PROBE_MS, wait * 1.5)) {
      // A probe that hangs does not keep the next one from finding the edge back.
      void this.#options.probe().then((answered) => {
        if (!isAway()) return;
        if (answered) return this.answered();
        if (away.said) return;
        away.said = true;
        this.#options.log?.warn({ error: reason }, "the edge is away: media waits for it");
        this.#options.onAway();
      });
      // Some of the wait is random, so that many origins don't call at once.
      await sleep(wait * (0.75 + Math.random() / 4), undefined, { ref: false });
    }
  }
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}
