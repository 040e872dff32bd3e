import { describe, expect, it } from "vitest";
import { MAX_UNDER_WAY, Receiver } from "../../domain/webhooks/receiver.ts";

const MINUTE = 60_000;

/** A receiver that has answered within so many milliseconds, by the time 1,000. */
function known(tookMs: number): Receiver {
  const receiver = new Receiver();
  receiver.end(receiver.begin(1_000 - tookMs), 1_000, true);
  return receiver;
}

/** A receiver that has been silent so many times, ten seconds each; and when that was over. */
function silent(times: number): { receiver: Receiver; now: number } {
  const receiver = new Receiver();
  let now = 0;
  for (let time = 0; time < times; time++) {
    while (receiver.decideTurn(now).kind !== "now") now += 1_000;
    const attempt = receiver.begin(now);
    now += 10_000;
    receiver.end(attempt, now, false);
  }
  return { receiver, now };
}

describe("a receiver", () => {
  it("is sent one delivery until it has answered, and then several at once", () => {
    const receiver = new Receiver();
    expect(receiver.decideTurn(0)).toEqual({ kind: "now" });
    const first = receiver.begin(0);
    expect(receiver.decideTurn(0).kind).toBe("soon");
    receiver.end(first, 20, true);
    for (let count = 0; count < MAX_UNDER_WAY; count++) {
      expect(receiver.decideTurn(20)).toEqual({ kind: "now" });
      receiver.begin(20);
    }
    expect(receiver.decideTurn(20).kind).toBe("soon");
  });

  it("that is quick has a place for a burst within a second, and for more of it later", () => {
    const receiver = known(50);
    for (let count = 0; count < MAX_UNDER_WAY; count++) receiver.begin(1_000);
    const turns = Array.from({ length: 200 }, () => receiver.decideTurn(1_000));
    expect(turns[0]).toEqual({ kind: "soon", delayMs: 10 });
    // Ten milliseconds each: 99 places in the first second.
    expect(turns.filter(({ kind }) => kind === "soon")).toHaveLength(99);
    expect(turns.at(-1)).toEqual({ kind: "later", delayMs: 2_000 });
  });

  it("that takes its time has places further apart, and what finds none within a minute is left to the sweep", () => {
    const receiver = known(1_500);
    for (let count = 0; count < MAX_UNDER_WAY; count++) receiver.begin(1_000);
    expect(receiver.decideTurn(1_000)).toEqual({ kind: "later", delayMs: 1_000 });
    const turns = Array.from({ length: 300 }, () => receiver.decideTurn(1_000));
    expect(turns[99]).toEqual({ kind: "later", delayMs: 30_300 });
    expect(turns.at(-1)).toEqual({ kind: "skip" });
  });

  it("that has not answered for two seconds is sent no more meanwhile", () => {
    const receiver = known(50);
    receiver.begin(1_000);
    expect(receiver.decideTurn(3_000)).toEqual({ kind: "now" });
    expect(receiver.decideTurn(3_001)).toEqual({ kind: "later", delayMs: 10_000 });
  });

  it("that is silent is asked again after ten seconds, twenty, forty, and then each minute", () => {
    for (const [times, pause] of [
      [1, 10_000],
      [2, 20_000],
      [3, 40_000],
      [4, MINUTE],
      [20, MINUTE],
    ] as const) {
      const { receiver, now } = silent(times);
      expect(receiver.decideTurn(now).kind).toBe(times === 1 ? "later" : "skip");
      expect(receiver.decideTurn(now + pause - 1).kind).not.toBe("now");
      expect(receiver.decideTurn(now + pause)).toEqual({ kind: "now" });
      receiver.begin(now + pause);
      expect(receiver.decideTurn(now + pause).kind).not.toBe("now");
    }
  });

  it("that fails several attempts at once has failed once", () => {
    const receiver = known(50);
    const attempts = Array.from({ length: MAX_UNDER_WAY }, () => receiver.begin(1_000));
    for (const attempt of attempts) receiver.end(attempt, 11_000, false);
    expect(receiver.decideTurn(11_000)).toEqual({ kind: "later", delayMs: 10_000 });
    expect(receiver.decideTurn(21_000)).toEqual({ kind: "now" });
  });

  it("that answers after two seconds is as good as silent", () => {
    const receiver = known(2_001);
    expect(receiver.decideTurn(1_000)).toEqual({ kind: "later", delayMs: 10_000 });
  });

  it("that is back is sent everything again", () => {
    const { receiver, now } = silent(6);
    receiver.end(receiver.begin(now + MINUTE), now + MINUTE + 50, true);
    for (let count = 0; count < MAX_UNDER_WAY; count++) {
      expect(receiver.decideTurn(now + MINUTE + 50)).toEqual({ kind: "now" });
      receiver.begin(now + MINUTE + 50);
    }
  });

  it("is not blamed for an attempt that was not made", () => {
    const receiver = known(50);
    receiver.cancel(receiver.begin(1_000));
    expect(receiver.isIdle).toBe(true);
    expect(receiver.decideTurn(60_000)).toEqual({ kind: "now" });
  });
});
