import type { Heartbeat, HeartbeatAnswer } from "../../domain/protocol/origin-link.ts";

/** So long a heartbeat waits for parts to go along with. */
const BOARD_MS = 500;
/** So long it waits for an answer to them: a lease does not last much longer. */
const RIDE_MS = 1_500;

/** A heartbeat that goes along with parts, or alone where that takes too long. */
export class HeartbeatRide {
  readonly health: Heartbeat;
  readonly #alone: (health: Heartbeat) => Promise<HeartbeatAnswer>;
  readonly #answer = Promise.withResolvers<HeartbeatAnswer>();
  #timer: NodeJS.Timeout;
  #isAlone = false;

  constructor(health: Heartbeat, alone: (health: Heartbeat) => Promise<HeartbeatAnswer>) {
    this.health = health;
    this.#alone = alone;
    this.#timer = setTimeout(() => this.goAlone(), BOARD_MS);
  }

  /** The first one that comes, of either way. */
  get answer(): Promise<HeartbeatAnswer> {
    return this.#answer.promise;
  }

  get isAlone(): boolean {
    return this.#isAlone;
  }

  /** The parts leave. */
  depart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.goAlone(), RIDE_MS);
  }

  /** The parts are through; null: nothing was said of the heartbeat. */
  arrive(answer: HeartbeatAnswer | null): void {
    if (answer === null) return this.goAlone();
    clearTimeout(this.#timer);
    this.#answer.resolve(answer);
  }

  /** The parts are too slow, or failed. */
  goAlone(): void {
    clearTimeout(this.#timer);
    if (this.#isAlone) return;
    this.#isAlone = true;
    this.#alone(this.health).then(this.#answer.resolve, this.#answer.reject);
  }
}

/** Lets heartbeats go along with parts, which spares the edge a call. */
export class HeartbeatRider {
  readonly #alone: (health: Heartbeat) => Promise<HeartbeatAnswer>;
  #waiting: HeartbeatRide | null = null;

  /** @param alone sends one by itself */
  constructor(alone: (health: Heartbeat) => Promise<HeartbeatAnswer>) {
    this.#alone = alone;
  }

  /** Sends one with the next parts, or alone. Rejects where it fails alone. */
  send(health: Heartbeat): Promise<HeartbeatAnswer> {
    this.#waiting?.goAlone();
    this.#waiting = new HeartbeatRide(health, this.#alone);
    return this.#waiting.answer;
  }

  /** The one that waits, for parts that leave now; null where there is none. */
  board(): HeartbeatRide | null {
    const ride = this.#waiting;
    this.#waiting = null;
    if (ride === null || ride.isAlone) return null;
    ride.depart();
    return ride;
  }
}
