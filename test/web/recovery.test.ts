import { describe, expect, it } from "vitest";
import { parsePastedStream, parseWatchPath } from "../../workers/web/pages/watch/address.ts";
import { RecoveryPolicy } from "../../workers/web/pages/watch/recovery.ts";
import { StallWatch } from "../../workers/web/pages/watch/stall-watch.ts";

describe("recovery from playback failures", () => {
  it("asks for the manifest of a live stream each 500 ms, for ever", () => {
    const policy = new RecoveryPolicy();
    for (let n = 0; n < 100; n++) expect(policy.decide("manifest", true, n * 500)).toEqual({ step: "reload", delayMs: 500 });
  });

  it("asks ever more seldom while nobody says that there is a stream", () => {
    const policy = new RecoveryPolicy();
    const delays = [0, 1, 2, 3, 4, 5, 6].map((n) => policy.decide("manifest", false, n * 1000).delayMs);
    expect(delays).toEqual([500, 500, 1000, 2000, 4000, 4000, 4000]);
  });

  it("goes from recovering over swapping the codec to rebuilding, while media errors come close together", () => {
    const policy = new RecoveryPolicy();
    expect([0, 100, 200, 300].map((at) => policy.decide("media", true, at).step)).toEqual(["recover", "swap", "rebuild", "rebuild"]);
    policy.progressed(3_000);
    expect(policy.decide("media", true, 3_100).step).toBe("rebuild");
    policy.progressed(9_000);
    expect(policy.decide("media", true, 9_100)).toEqual({ step: "recover", delayMs: 0 });
  });

  it("restarts after network failures with growing waits, and rebuilds now and then", () => {
    const policy = new RecoveryPolicy();
    const steps = [0, 1, 2, 3, 4].map((n) => policy.decide("network", true, n * 1000));
    expect(steps.map(({ step }) => step)).toEqual(["restart", "restart", "restart", "rebuild", "restart"]);
    expect(steps.map(({ delayMs }) => delayMs)).toEqual([250, 500, 1000, 2000, 4000]);
  });
});

describe("a picture that stands still", () => {
  function steps(seconds: number, at: (second: number) => { position: number; due?: boolean }) {
    const watch = new StallWatch();
    const taken: [number, string][] = [];
    for (let half = 0; half <= seconds * 2; half++) {
      const { position, due = true } = at(half / 2);
      const step = watch.look({ nowMs: half * 500, positionSeconds: position, due });
      if (step !== "none") taken.push([half / 2, step]);
    }
    return taken;
  }

  it("is brought to the live edge, then restarted, then rebuilt, and again", () => {
    expect(steps(13, () => ({ position: 5 }))).toEqual([
      [2, "seek_live"],
      [5, "restart"],
      [10, "rebuild"],
      [12, "seek_live"],
    ]);
  });

  it("is left alone while it plays, at any speed that a player chooses", () => {
    expect(steps(30, (second) => ({ position: second * 1.1 }))).toEqual([]);
    expect(steps(30, (second) => ({ position: second * 0.5 }))).toEqual([]);
  });

  it("is left alone while no frames are due", () => {
    expect(steps(30, () => ({ position: 5, due: false }))).toEqual([]);
  });

  it("does not take its own seek for success", () => {
    expect(steps(6, (second) => ({ position: second > 2 ? 50 : 5 }))).toEqual([
      [2, "seek_live"],
      [5, "restart"],
    ]);
  });

  it("begins anew after the machine slept", () => {
    const watch = new StallWatch();
    expect(watch.look({ nowMs: 0, positionSeconds: 5, due: true })).toBe("none");
    expect(watch.look({ nowMs: 60_000, positionSeconds: 5, due: true })).toBe("none");
    expect(watch.look({ nowMs: 61_000, positionSeconds: 5, due: true })).toBe("none");
  });
});

describe("the page's small parts", () => {
  it("finds the stream id in a path and in what somebody pastes", () => {
    expect(parseWatchPath("/watch/abcdefgh01234567abcdefgh")).toBe("abcdefgh01234567abcdefgh");
    expect(parseWatchPath("/watch/abcdefgh01234567abcdefgh/")).toBe("abcdefgh01234567abcdefgh");
    for (const path of ["/watch/", "/watch/a", "/watch/a/b", "/watch/..%2fetc%2fpasswd", "/"]) expect(parseWatchPath(path)).toBeNull();
    expect(parsePastedStream(" https://live.example/watch/ABCDEFGH01234567abcdefgh?x=1 ")).toBe("abcdefgh01234567abcdefgh");
    expect(parsePastedStream("abcdefgh01234567abcdefgh")).toBe("abcdefgh01234567abcdefgh");
    expect(parsePastedStream("my stream")).toBeNull();
  });
});
