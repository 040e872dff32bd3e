import { NovaError } from "../errors.ts";
import type { Millis } from "../time.ts";

/** An encoder that waits for another one to fail. */
export interface Standby {
  ticket: string;
  originId: string;
  /** The stream key that it published with. */
  keyId: string;
  askedAt: Millis;
  /** Since when it has been asking without a pause. */
  since: Millis;
}

/** One that does not ask for this long is forgotten. */
export const STANDBY_MS: Millis = 5_000;
/** One that asked within this time is counted on: it asks each half second. */
const COUNTED_ON_MS: Millis = 3_000;
/** Asks further apart than this say that the edge could not be reached between them. */
const PAUSE_MS: Millis = 1_500;
const MAX_STANDBYS = 8;

/** The encoders that stand by for a stream's live one. */
export class Standbys {
  #waiting: Standby[];

  constructor(waiting: readonly Standby[] = []) {
    this.#waiting = waiting.map((standby) => ({ ...standby }));
  }

  snapshot(): Standby[] {
    return this.#waiting.map((standby) => ({ ...standby }));
  }

  /** Ids of the stream keys that they published with. */
  get keyIds(): string[] {
    return this.#waiting.map(({ keyId }) => keyId);
  }

  /** Whether one of them can be expected to take over. */
  canTakeOver(now: Millis): boolean {
    return this.#waiting.some(({ askedAt }) => now - askedAt <= COUNTED_ON_MS);
  }

  /** Where there are too many, the one that has been silent for the longest goes. */
  add(standby: Pick<Standby, "ticket" | "originId" | "keyId">, now: Millis): void {
    const known = this.#waiting.filter(({ askedAt }) => now - askedAt < STANDBY_MS).sort((a, b) => b.askedAt - a.askedAt);
    this.#waiting = [{ ...standby, askedAt: now, since: now }, ...known].slice(0, MAX_STANDBYS);
  }

  /** One asks whether its turn has come. Throws 409 `standby_expired` for one that is not known, or no more. */
  ask(ticket: string, originId: string, now: Millis): Readonly<Standby> {
    const standby = this.#waiting.find((known) => known.ticket === ticket && known.originId === originId);
    if (standby === undefined || now - standby.askedAt >= STANDBY_MS) {
      throw new NovaError(409, "standby_expired", "this backup is not known any more: publish again");
    }
    if (now - standby.askedAt > PAUSE_MS) standby.since = now;
    standby.askedAt = now;
    return standby;
  }

  remove(ticket: string): void {
    this.#waiting = this.#waiting.filter((standby) => standby.ticket !== ticket);
  }

  /** A stream key is valid no longer. */
  removeKey(keyId: string): void {
    this.#waiting = this.#waiting.filter((standby) => standby.keyId !== keyId);
  }

  clear(): void {
    this.#waiting = [];
  }

  /** Time has passed unseen: they count as if they had just asked. */
  wake(now: Millis): void {
    for (const standby of this.#waiting) Object.assign(standby, { askedAt: now, since: now });
  }
}
