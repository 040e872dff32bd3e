import { describe, expect, it } from "vitest";
import { CallLimit } from "../../origin/upload/call-limit.ts";

/** An edge that works on one call after the other, and an origin that always has as many calls there as the limit and its demand allow. */
class SimulatedEdge {
  readonly limit = new CallLimit(0);
  now = 0;
  /** Calls a second. */
  capacity: number;
  /** Of the way there and back, ms. */
  roundTrip: number;
  #queue: number[] = [];
  /** When answers arrive, and of which calls; in order. */
  #answers: { at: number; since: number }[] = [];

  constructor(capacity: number, roundTrip: number) {
    this.capacity = capacity;
    this.roundTrip = roundTrip;
  }

  /** Lets time pass while `demand` calls a second are to be made; they wait at the origin where they have to. */
  run(seconds: number, demand: number): void {
    const end = this.now + seconds * 1000;
    let waiting = 0;
    let owed = 0;
    let worked = 0;
    for (; this.now < end; this.now += 1) {
      owed += demand / 1000;
      waiting += Math.floor(owed);
      owed %= 1;
      const underWay = () => this.#queue.length + this.#answers.length;
      for (; waiting > 0 && underWay() < this.limit.limit; waiting--) this.#queue.push(this.now);
      if (waiting > 0) this.limit.reached();
      // What has waited for too long is of no use to anybody.
      waiting = Math.min(waiting, 1000);
      worked = Math.min(worked + this.capacity / 1000, Math.max(1, this.#queue.length));
      for (; worked >= 1 && this.#queue.length > 0; worked--) {
        this.#answers.push({ at: this.now + this.roundTrip, since: this.#queue.shift() ?? this.now });
      }
      for (let next = this.#answers[0]; next !== undefined && next.at <= this.now; next = this.#answers[0]) {
        this.limit.answered(this.now - next.since, this.now);
        this.#answers.shift();
      }
    }
  }
}

describe("the limit of calls", () => {
  it("stays out of the way of an edge that answers quickly", () => {
    const edge = new SimulatedEdge(10_000, 20);
    edge.run(30, 500);
    expect(edge.limit.limit).toBeGreaterThanOrEqual(64);
    expect(edge.limit.delay).toBeLessThan(10);
  });

  it("settles where a saturated edge answers in time, and stays there for minutes", () => {
    const edge = new SimulatedEdge(200, 2);
    edge.run(5, 100);
    edge.run(20, 1000);
    const seen: number[] = [];
    for (let round = 0; round < 30; round++) {
      edge.run(10, 1000);
      seen.push(edge.limit.limit);
    }
    // 200 a second, and 150 ms more than at best: 30 calls.
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(20);
    expect(Math.max(...seen)).toBeLessThanOrEqual(45);
  });

  it("is found by an origin that starts before a saturated edge, far away as it may be", () => {
    const edge = new SimulatedEdge(200, 100);
    edge.run(60, 1000);
    expect(edge.limit.limit).toBeGreaterThanOrEqual(12);
    expect(edge.limit.limit).toBeLessThanOrEqual(80);
  });

  it("grows again when the edge does", () => {
    const edge = new SimulatedEdge(100, 2);
    edge.run(5, 50);
    edge.run(20, 1000);
    expect(edge.limit.limit).toBeLessThan(30);
    edge.capacity = 10_000;
    edge.run(30, 20_000);
    expect(edge.limit.limit).toBeGreaterThan(200);
  });

  it("is not held down for ever by a way that has become longer", () => {
    const edge = new SimulatedEdge(5_000, 5);
    edge.run(10, 100);
    edge.roundTrip = 400;
    edge.run(20, 4_000);
    edge.run(120, 4_000);
    expect(edge.limit.limit).toBeGreaterThanOrEqual(64);
  });
});
