import type { BeaconEvent } from "../../../../domain/protocol/beacon.ts";

/** As many events fit in one beacon; in 4 KiB they do, too. */
const MAX_EVENTS = 20;
/** Least time between two beacons that a full batch makes, ms: the server takes ten a minute. */
const INTERVAL_MS = 8_000;

/** Events on their way to the server, several in one beacon. The clock comes in. */
export class BeaconBatch {
  readonly #send: (events: BeaconEvent[]) => void;
  #events: BeaconEvent[] = [];
  #sentAt = Number.NEGATIVE_INFINITY;

  constructor(send: (events: BeaconEvent[]) => void) {
    this.#send = send;
  }

  /** Keeps an event for the next beacon. A player in so much trouble that it has too many for the server loses the newest. */
  add(event: BeaconEvent, nowMs: number): void {
    if (this.#events.length === MAX_EVENTS && nowMs - this.#sentAt >= INTERVAL_MS) this.flush(nowMs);
    if (this.#events.length < MAX_EVENTS) this.#events.push(event);
  }

  /** Sends what there is, if anything. */
  flush(nowMs: number): void {
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.#sentAt = nowMs;
    this.#send(events);
  }
}
