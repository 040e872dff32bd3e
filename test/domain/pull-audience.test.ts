import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PULL_LEASE_MS, PullAudience } from "../../domain/audience/pull-audience.ts";
import { MAX_PULL_KEYS, PLAYER_KEYS, type PullReport } from "../../domain/protocol/audience.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import { PullCounter, REPORT_INTERVAL_MS } from "../../workers/audience/pull-counter.ts";

const STREAM = "0".repeat(24) as StreamId;
const none = () => false;
const whole = (...keys: number[]): PullReport => ({ keys, threshold: PLAYER_KEYS });

/** Evenly spread keys, the same in every run. */
function keysFrom(seed: number, count: number): number[] {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    return (word ^ (word >>> 15)) >>> 0;
  };
  return Array.from({ length: count }, () => next() * 2 ** 20 + (next() >>> 12));
}

describe("players without a socket", () => {
  it("are counted once, whoever reports them, for 30 s after the last report", () => {
    const audience = new PullAudience();
    audience.report(whole(1, 2), 0);
    audience.report(whole(2, 3), 5_000);
    expect(audience.count(5_000, none)).toBe(3);
    expect(audience.nextExpiryAt()).toBe(PULL_LEASE_MS);
    expect(audience.count(PULL_LEASE_MS - 1, none)).toBe(3);
    expect(audience.count(PULL_LEASE_MS, none)).toBe(2);
    expect(audience.nextExpiryAt()).toBe(5_000 + PULL_LEASE_MS);
    expect(audience.count(5_000 + PULL_LEASE_MS, none)).toBe(0);
    expect(audience.nextExpiryAt()).toBeNull();
  });

  it("are not those whose page has a socket", () => {
    const audience = new PullAudience();
    audience.report(whole(1, 2, 3), 0);
    expect(audience.count(0, (player) => player === 2)).toBe(2);
  });

  it("are not those whose page has just gone, unless they are heard of again later", () => {
    const audience = new PullAudience();
    audience.report(whole(1, 2), 0);
    audience.leave([1], 1_000);
    expect(audience.count(1_000, none)).toBe(1);
    // A report of what was asked for before.
    audience.report(whole(1, 2), 10_000);
    expect(audience.count(10_000, none)).toBe(1);
    audience.report(whole(1, 2), 20_000);
    expect(audience.count(20_000, none)).toBe(2);
  });

  it("are not told by a report that is none", () => {
    const audience = new PullAudience();
    for (const report of [
      { keys: [1], threshold: 0 },
      { keys: [1], threshold: 3 },
      { keys: [1], threshold: PLAYER_KEYS * 2 },
      { keys: [-1], threshold: PLAYER_KEYS },
      { keys: [0.5], threshold: PLAYER_KEYS },
      { keys: [PLAYER_KEYS], threshold: PLAYER_KEYS },
      { keys: Array.from({ length: MAX_PULL_KEYS + 1 }, (_, key) => key), threshold: PLAYER_KEYS },
      { keys: ["1"], threshold: PLAYER_KEYS } as unknown as PullReport,
    ])
      audience.report(report, 0);
    expect(audience.nextExpiryAt()).toBeNull();
    audience.report({ keys: [1, PLAYER_KEYS / 2], threshold: PLAYER_KEYS / 2 }, 0);
    expect(audience.count(0, none)).toBe(2);
  });
});

/** Isolates that serve players, each player by any of them, and one object; a step is a second. */
class Scene {
  readonly audience = new PullAudience();
  readonly #isolates: PullCounter[];
  now = 0;
  reports = 0;

  constructor(isolates: number) {
    this.#isolates = Array.from({ length: isolates }, () => new PullCounter());
  }

  ask(player: number, isolate: number): void {
    const report = (this.#isolates[isolate % this.#isolates.length] as PullCounter).note(STREAM, player, this.now);
    if (report === null) return;
    this.reports += 1;
    this.audience.report(report, this.now);
  }

  /** Every player asks once a second, an isolate each, for so many seconds. */
  watch(players: readonly number[], seconds: number): void {
    for (let second = 0; second < seconds; second++) {
      this.now += 1_000;
      players.forEach((player, index) => {
        this.ask(player, index);
      });
    }
  }
}

describe("isolates and the object", () => {
  it("know of the first player at once, of all after 10 s, and exchange one report in 10 s", () => {
    const scene = new Scene(1);
    const players = keysFrom(1, 50);
    scene.watch(players.slice(0, 1), 1);
    expect(scene.audience.count(scene.now, none)).toBe(1);
    scene.watch(players, 60);
    expect(scene.audience.count(scene.now, none)).toBe(50);
    expect(scene.reports).toBe(Math.floor(61_000 / REPORT_INTERVAL_MS) + 1);
  });

  it("are exact while all keys fit, whichever isolate serves whom", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 600 }), fc.integer(), (isolates, count, seed) => {
        const scene = new Scene(isolates);
        const players = keysFrom(seed, count);
        scene.watch(players, 12);
        expect(scene.audience.count(scene.now, none)).toBe(new Set(players).size);
        // Served by other isolates from now on.
        scene.watch([...players].reverse(), 12);
        expect(scene.audience.count(scene.now, none)).toBe(new Set(players).size);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    [1, 3_000],
    [1, 40_000],
    [40, 20_000],
    [64, 200_000],
  ])("estimate what does not fit: %i isolates, %i players", (isolates, count) => {
    const scene = new Scene(isolates);
    scene.watch(keysFrom(7, count), 25);
    // Five times the deviation that a sample of 512, the smallest that is ever counted, has.
    const tolerance = (5 / Math.sqrt(512)) * count;
    expect(Math.abs(scene.audience.count(scene.now, none) - count)).toBeLessThan(tolerance);
  });

  it("have no bias, nor towards those without a socket", () => {
    const count = 12_000;
    const errors = Array.from({ length: 24 }, (_, seed) => {
      const scene = new Scene(12);
      const players = keysFrom(seed * 1_000_003, count);
      const onPages = new Set(players.slice(0, count / 4));
      scene.watch(players, 11);
      return scene.audience.count(scene.now, (player) => onPages.has(player)) / (0.75 * count) - 1;
    });
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    // A sample of 1,125 at least: 3 % each, 0.6 % for the mean of 24.
    expect(Math.abs(mean)).toBeLessThan(0.025);
    expect(Math.max(...errors.map(Math.abs))).toBeLessThan(0.15);
  });

  it("are exact again some time after a crowd has gone, and lose nobody who stays on the way there", () => {
    const scene = new Scene(8);
    const players = keysFrom(3, 30_000);
    const stay = players.slice(0, 500);
    scene.watch(players, 25);
    for (let second = 0; second < 120; second++) {
      scene.watch(stay, 1);
      expect(scene.audience.count(scene.now, none)).toBeGreaterThan(300);
    }
    expect(scene.audience.count(scene.now, none)).toBe(500);
  });

  it("sample only for as long as the report that sampled holds", () => {
    const scene = new Scene(1);
    scene.audience.report({ keys: [1], threshold: PLAYER_KEYS / 4 }, 0);
    scene.audience.report(whole(2, 3, PLAYER_KEYS - 1), 10_000);
    expect(scene.audience.count(10_000, none)).toBe(3 * 4);
    expect(scene.audience.count(PULL_LEASE_MS, none)).toBe(3);
  });
});

describe("an isolate", () => {
  it("does not report those who asked long before a quiet time", () => {
    const counter = new PullCounter();
    expect(counter.note(STREAM, 1, 0)).toEqual(whole(1));
    expect(counter.note(STREAM, 2, 5_000)).toBeNull();
    expect(counter.note(STREAM, 3, 600_000)).toEqual(whole(3));
    expect(counter.note(STREAM, 4, 601_000)).toBeNull();
    expect(counter.note(STREAM, 5, 610_000)).toEqual(whole(4, 5));
  });

  it("sends a fair part of more than a report holds, and starts afresh", () => {
    const counter = new PullCounter();
    counter.note(STREAM, 1, 0);
    const players = keysFrom(9, 3_000);
    for (const player of players) counter.note(STREAM, player, 1_000);
    const threshold = PLAYER_KEYS / 4;
    const report = counter.note(STREAM, PLAYER_KEYS - 1, 10_000);
    expect(report).toEqual({ keys: players.filter((player) => player < threshold), threshold });
    expect(counter.note(STREAM, PLAYER_KEYS - 1, 20_000)).toEqual(whole(PLAYER_KEYS - 1));
  });

  it("tells streams apart, and reports again when its clock was set back", () => {
    const counter = new PullCounter();
    const other = "1".repeat(24) as StreamId;
    expect(counter.note(STREAM, 1, 50_000)).toEqual(whole(1));
    expect(counter.note(other, 2, 50_001)).toEqual(whole(2));
    expect(counter.note(STREAM, 3, 40_000)).toEqual(whole(3));
  });
});
