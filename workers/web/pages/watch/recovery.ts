/** A failure that time does not heal: the broadcast is over and was not kept, or this viewer may not watch. */
export type FinalFailure = "gone" | "denied";

/** A failure that may pass. `manifest`: there is nothing to play from, yet or any more. */
export type PassingFailure = "manifest" | "network" | "media" | "other";

/** Where a fatal playback error stands. */
export type Failure = FinalFailure | PassingFailure;

/**
 * `restart` loading, `recover` the media element, `swap` the audio codec and recover, `reload` the manifest, or `rebuild`
 * all from nothing.
 */
export interface Recovery {
  step: "restart" | "recover" | "swap" | "reload" | "rebuild";
  delayMs: number;
}

const MANIFEST_RETRY_MS = 500;
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 4_000;
/** Media errors closer together than this are one trouble, and call for the next stronger step. */
const RELAPSE_MS = 5_000;

/** Chooses the gentlest step that has not just failed; never gives up. The clock comes in. */
export class RecoveryPolicy {
  #failures = 0;
  #mediaFailures = 0;
  #lastAt = Number.NEGATIVE_INFINITY;

  /** @param eager the stream is known to be live, so a missing manifest is a matter of moments */
  decide(failure: PassingFailure, eager: boolean, nowMs: number): Recovery {
    if (nowMs - this.#lastAt > RELAPSE_MS + MAX_DELAY_MS) this.#failures = this.#mediaFailures = 0;
    this.#lastAt = nowMs;
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures++);
    switch (failure) {
      case "manifest":
        return { step: "reload", delayMs: eager ? MANIFEST_RETRY_MS : Math.max(MANIFEST_RETRY_MS, delayMs) };
      case "network":
        return { step: this.#failures % 4 === 0 ? "rebuild" : "restart", delayMs };
      case "media": {
        const step = (["recover", "swap"] as const)[this.#mediaFailures++];
        return step ? { step, delayMs: 0 } : { step: "rebuild", delayMs };
      }
      case "other":
        return { step: "rebuild", delayMs };
    }
  }

  /** Frames move again. What failed long enough ago is forgotten. */
  progressed(nowMs: number): void {
    if (nowMs - this.#lastAt > RELAPSE_MS) this.#failures = this.#mediaFailures = 0;
  }
}
