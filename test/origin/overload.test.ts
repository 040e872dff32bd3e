import { describe, expect, it } from "vitest";
import { estimateCores, OverloadWatch } from "../../origin/transcode/overload.ts";

const RICH = { idleCores: 8, costCores: 1 };

/** Watches a ladder of three rungs second by second; `lag` says how far behind it is at each. */
class Ladder {
  readonly watch = new OverloadWatch();
  second = 0;
  dropped = 0;

  run(seconds: number, lag: (second: number) => number, machine = RICH, droppable = 2): [second: number, decision: string][] {
    const decisions: [number, string][] = [];
    for (const end = this.second + seconds; this.second < end; this.second++) {
      const rungs = { droppable: droppable - this.dropped, dropped: this.dropped };
      const decision = this.watch.observe({ nowMs: this.second * 1000, lagMs: lag(this.second), rungs, ...machine });
      if (decision === null) continue;
      this.dropped += decision === "drop" ? 1 : -1;
      decisions.push([this.second, decision]);
    }
    return decisions;
  }
}

const calm = () => 80;
/** A fifth too slow, from `start` on. */
const falling = (start: number) => (second: number) => 200 * (second - start);

describe("overload", () => {
  it("gives a rung up within 6 s of a lag over 1 s that grows, one at a time", () => {
    const ladder = new Ladder();
    expect(ladder.run(100, calm)).toEqual([]);
    expect(ladder.run(7, falling(100))).toEqual([[106, "drop"]]);
    expect(ladder.run(4, falling(100))).toEqual([]);
    expect(ladder.run(4, falling(100))).toEqual([[112, "drop"]]);
    expect(ladder.run(60, falling(100))).toEqual([]);
  });

  it("leaves the ladder alone where it only starts slowly, jitters, or lies behind without falling back", () => {
    expect(new Ladder().run(120, (second) => Math.max(80, 4000 - second * 1000))).toEqual([]);
    expect(new Ladder().run(120, (second) => (second % 2) * 900)).toEqual([]);
    expect(new Ladder().run(120, () => 2500)).toEqual([]);
    expect(new Ladder().run(120, falling(0), RICH, 0)).toEqual([]);
    // An FFmpeg that hangs for 5 s, is killed, and the next one that catches up.
    const hangs = (second: number) => (second < 60 ? 80 : second <= 65 ? (second - 60) * 1000 : Math.max(80, 5000 - (second - 65) * 900));
    expect(new Ladder().run(120, hangs)).toEqual([]);
  });

  it("gives a rung up where the lag is kept level only by leaving frames out", () => {
    expect(new Ladder().run(7, (second) => 9000 - second * 100)).toEqual([[5, "drop"]]);
  });

  it("takes a rung back after a minute of calm, where the machine has room for it and some to spare", () => {
    const ladder = new Ladder();
    ladder.run(7, falling(0));
    expect(ladder.run(200, calm, { idleCores: 1, costCores: 1 })).toEqual([]);
    expect(ladder.run(2, calm)).toEqual([[207, "restore"]]);
    const other = new Ladder();
    other.run(7, falling(0));
    expect(other.run(40, calm)).toEqual([]);
    expect(other.run(1, () => 700)).toEqual([]);
    expect(other.run(200, calm)).toEqual([[108, "restore"]]);
  });

  it("waits twice as long each time a rung had to go again soon, half an hour at most, and forgets it when the rung stays", () => {
    const ladder = new Ladder();
    const waits: number[] = [];
    for (let round = 0; round < 8; round++) {
      const start = ladder.second;
      expect(ladder.run(20, (second) => (ladder.dropped === 0 ? falling(start)(second) : 80)).map(([, decision]) => decision)).toEqual([
        "drop",
      ]);
      const calmSince = ladder.second;
      while (ladder.dropped > 0) ladder.run(1, calm);
      waits.push(ladder.second - calmSince + 13);
    }
    expect(waits.map((wait) => Math.round(wait / 60))).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
    ladder.run(301, calm);
    const start = ladder.second;
    ladder.run(7, falling(start));
    expect(ladder.run(62, calm).map(([, decision]) => decision)).toEqual(["restore"]);
  });

  it("estimates what a rung costs by its pixels a second, and almost nothing but scaling on graphics hardware", () => {
    const full = { width: 1920, height: 1080 };
    expect(estimateCores("x264", full, 60)).toBeCloseTo(2 * estimateCores("x264", full, 30));
    expect(estimateCores("x264", full, null)).toBeGreaterThan(1.5 * estimateCores("x264", { width: 854, height: 480 }, null));
    expect(estimateCores("nvenc", full, 30)).toBeLessThan(estimateCores("x264", full, 30) / 2);
  });
});
