import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Segment } from "../../domain/timeline/segment.ts";
import { Timeline } from "../../domain/timeline/timeline.ts";

const TRACKS = ["source", "audio"];

function opened(): Timeline {
  const timeline = new Timeline();
  timeline.openEpoch(1);
  timeline.setTracks(1, 1000, TRACKS);
  for (const rendition of TRACKS) timeline.addInit(1, rendition);
  return timeline;
}

function segment(msn: number, epoch = 1, fields: Partial<Segment> = {}): Omit<Segment, "parts"> {
  return { msn, epoch, duration: 2, pdt: 1000 + (msn - 1) * 2000, time: null, size: 400, digest: `s${msn}`, gap: false, ...fields };
}

function part(msn: number, number: number) {
  return { msn, part: number, duration: 0.5, independent: number === 0, size: 100, digest: `p${msn}.${number}` };
}

function msns(timeline: Timeline, rendition = "source"): number[] {
  return timeline.listed(rendition).map((listed) => listed.msn);
}

describe("listing", () => {
  it("stops before the first segment that is missing, and goes on when it comes", () => {
    const timeline = opened();
    for (const msn of [1, 2, 4, 5]) timeline.commit("source", segment(msn));
    expect(msns(timeline)).toEqual([1, 2]);
    timeline.commit("source", segment(3));
    expect(msns(timeline)).toEqual([1, 2, 3, 4, 5]);
  });

  it("waits for the init segment of the epoch", () => {
    const timeline = new Timeline();
    timeline.openEpoch(1);
    timeline.setTracks(1, 1000, TRACKS);
    timeline.commit("source", segment(1));
    expect(msns(timeline)).toEqual([]);
    timeline.addInit(1, "source");
    expect(msns(timeline)).toEqual([1]);
  });

  it("keeps a segment's parts where they are the whole of it", () => {
    const timeline = opened();
    for (let number = 0; number < 4; number++) timeline.addPart(1, "source", part(1, number));
    timeline.addPart(1, "source", part(2, 0));
    timeline.addPart(1, "source", part(2, 2));
    timeline.commit("source", segment(1));
    timeline.commit("source", segment(2));
    expect(timeline.listed("source").map((listed) => listed.parts.length)).toEqual([4, 0]);
    // The missing ones come late.
    timeline.addPart(1, "source", part(2, 3));
    expect(timeline.addPart(1, "source", part(2, 1)).completed).toMatchObject({ msn: 2 });
    expect(timeline.listed("source").map((listed) => listed.parts.length)).toEqual([4, 4]);
  });

  it("names the newest part that can be fetched", () => {
    const timeline = opened();
    timeline.commit("source", segment(1));
    timeline.addPart(1, "source", part(2, 0));
    timeline.addPart(1, "source", part(2, 2));
    expect(timeline.newest("source")).toEqual({ msn: 2, part: 0 });
    timeline.addPart(1, "source", part(2, 1));
    expect(timeline.newest("source")).toEqual({ msn: 2, part: 2 });
  });
});

describe("pushes", () => {
  it("are repeated without effect, and refused with other bytes", () => {
    const timeline = opened();
    expect(timeline.addPart(1, "source", part(1, 0)).outcome).toBe("stored");
    expect(timeline.addPart(1, "source", part(1, 0)).outcome).toBe("repeated");
    expect(() => timeline.addPart(1, "source", { ...part(1, 0), digest: "other" })).toThrow("other bytes");
    expect(timeline.commit("source", segment(1))).toHaveLength(1);
    expect(timeline.commit("source", segment(1))).toHaveLength(0);
    expect(() => timeline.commit("source", { ...segment(1), digest: "other" })).toThrow("other bytes");
  });

  it("are refused for renditions, epochs and numbers that are not the epoch's own, and far ahead", () => {
    const timeline = opened();
    timeline.commit("source", segment(1));
    expect(() => timeline.addPart(1, "1080p", part(2, 0))).toThrow("no rendition");
    expect(() => timeline.addPart(9, "source", part(2, 0))).toThrow("not open");
    expect(() => timeline.addPart(1, "source", part(99, 0))).toThrow("more than 30 past");
    timeline.openEpoch(2);
    timeline.setTracks(2, 9000, TRACKS);
    expect(() => timeline.commit("source", segment(1, 2))).toThrow("starts at segment 2");
  });
});

describe("[PL5] media sequence numbers", () => {
  it("start at 1, and an epoch never reuses one of which a part was seen", () => {
    const timeline = opened();
    expect(timeline.epochs[0]?.firstMsn).toBe(1);
    timeline.commit("source", segment(1));
    timeline.addPart(1, "audio", part(3, 0));
    expect(timeline.openEpoch(2).firstMsn).toBe(4);
    // An epoch that brought nothing leaves no trace.
    expect(timeline.openEpoch(3).firstMsn).toBe(4);
    expect(timeline.epochs.map((epoch) => epoch.epoch)).toEqual([1, 3]);
  });
});

describe("an ended epoch", () => {
  it("leaves remnants: saved from their parts, or gaps as long as their neighbours", () => {
    const timeline = opened();
    for (const rendition of TRACKS) timeline.commit(rendition, segment(1));
    timeline.addPart(1, "source", part(2, 0));
    timeline.addPart(1, "source", part(2, 1));
    timeline.openEpoch(2);
    timeline.setTracks(2, 50_000, TRACKS);
    for (const rendition of TRACKS) timeline.addInit(2, rendition);
    expect(timeline.remnants(1)).toEqual([
      { rendition: "source", msn: 2, parts: 2 },
      { rendition: "audio", msn: 2, parts: 0 },
    ]);
    timeline.commit("source", segment(3, 2));
    expect(msns(timeline)).toEqual([1]);
    timeline.settle({ rendition: "source", msn: 2, parts: 2 }, { size: 200, digest: "", time: null });
    timeline.settle({ rendition: "audio", msn: 2, parts: 0 }, null);
    expect(timeline.listed("source").map(({ msn, duration, pdt, gap }) => ({ msn, duration, pdt, gap }))).toEqual([
      { msn: 1, duration: 2, pdt: 1000, gap: false },
      { msn: 2, duration: 1, pdt: 3000, gap: false },
      { msn: 3, duration: 2, pdt: 5000, gap: false },
    ]);
    expect(timeline.listed("audio").at(-1)).toMatchObject({ msn: 2, duration: 1, gap: true });
    expect(timeline.remnants(1)).toEqual([]);
  });

  it("[PL12] a rendition that the next epoch does not carry goes on as gaps", () => {
    const timeline = opened();
    for (const rendition of TRACKS) timeline.commit(rendition, segment(1));
    timeline.openEpoch(2);
    timeline.setTracks(2, 50_000, ["source"]);
    timeline.addInit(2, "source");
    timeline.commit("source", segment(2, 2));
    expect(timeline.listed("audio").map(({ msn, gap }) => [msn, gap])).toEqual([
      [1, false],
      [2, true],
    ]);
  });
});

describe("the window", () => {
  it("[PL8] slides by what is complete in the rendition that lags, and counts discontinuities that left", () => {
    const timeline = opened();
    for (let msn = 1; msn <= 4; msn++) for (const rendition of TRACKS) timeline.commit(rendition, segment(msn));
    timeline.openEpoch(2);
    timeline.setTracks(2, 50_000, TRACKS);
    for (const rendition of TRACKS) timeline.addInit(2, rendition);
    for (let msn = 5; msn <= 8; msn++) timeline.commit("source", segment(msn, 2));
    for (let msn = 5; msn <= 6; msn++) timeline.commit("audio", segment(msn, 2));
    expect(timeline.slide(6).map(({ rendition, segments }) => [rendition, segments.map((left) => left.msn)])).toEqual([
      ["source", [1, 2, 3]],
      ["audio", [1, 2, 3]],
    ]);
    expect(timeline.discontinuitySequence(timeline.firstMsn)).toBe(0);
    for (let msn = 7; msn <= 8; msn++) timeline.commit("audio", segment(msn, 2));
    timeline.slide(6);
    expect([timeline.firstMsn, timeline.discontinuitySequence(timeline.firstMsn)]).toEqual([6, 1]);
    expect(msns(timeline)).toEqual([6, 7, 8]);
  });
});

type Step =
  | { kind: "part" | "segment"; rendition: string; ahead: number; part: number }
  | { kind: "epoch" }
  | { kind: "slide" }
  | { kind: "evict" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom("part" as const, "segment" as const),
      rendition: fc.constantFrom(...TRACKS),
      ahead: fc.integer({ min: -1, max: 3 }),
      part: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "epoch" as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: "slide" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "evict" as const }) },
);

/** A timeline with the storage that its owner keeps for it, the way the object does. */
class Kept {
  timeline = new Timeline();
  readonly segments = new Map<string, { rendition: string; segment: Segment }>();
  readonly parts = new Map<string, { rendition: string; push: ReturnType<typeof part> }>();
  readonly inits = new Set<number>();
  epoch = 0;

  openEpoch(): void {
    const ended = this.epoch;
    this.epoch += 1;
    this.timeline.openEpoch(this.epoch);
    this.timeline.setTracks(this.epoch, 1000 + this.epoch * 100_000, TRACKS);
    for (const rendition of TRACKS) this.timeline.addInit(this.epoch, rendition);
    this.inits.add(this.epoch);
    for (const remnant of this.timeline.remnants(ended)) {
      const settled = this.timeline.settle(remnant, remnant.parts > 0 ? { size: 100 * remnant.parts, digest: "", time: null } : null);
      if (settled !== null) this.segments.set(`${settled.rendition}/${settled.segment.msn}`, settled);
    }
  }

  apply(next: Step): void {
    if (next.kind === "epoch") return this.openEpoch();
    if (next.kind === "slide") {
      for (const { rendition, segments } of this.timeline.slide(6))
        for (const { msn } of segments) this.segments.delete(`${rendition}/${msn}`);
      return;
    }
    if (next.kind === "evict") return this.evict();
    const first = this.timeline.epochs.at(-1)?.firstMsn ?? 1;
    const msn = Math.max(first, (this.timeline.listed(next.rendition).at(-1)?.msn ?? first - 1) + 1 + next.ahead);
    if (next.kind === "part") {
      const push = part(msn, next.part);
      const { outcome, completed } = this.timeline.addPart(this.epoch, next.rendition, push);
      if (completed !== null) this.segments.set(`${next.rendition}/${msn}`, { rendition: next.rendition, segment: completed });
      if (outcome === "stored") this.parts.set(`${next.rendition}/${msn}.${next.part}`, { rendition: next.rendition, push });
    } else {
      for (const stored of this.timeline.commit(next.rendition, segment(msn, this.epoch)))
        this.segments.set(`${stored.rendition}/${msn}`, stored);
    }
  }

  evict(): void {
    this.timeline = Timeline.restore(JSON.parse(JSON.stringify(this.timeline.snapshot())));
    for (const { rendition, segment: kept } of this.segments.values()) this.timeline.restoreSegment(rendition, kept);
    for (const { rendition, push } of this.parts.values()) this.timeline.restorePart(rendition, push);
    for (const epoch of this.inits) for (const rendition of TRACKS) this.timeline.addInit(epoch, rendition);
  }
}

describe("any history", () => {
  it("[PL5] [PL7] [PL8] lists only what is stored, in one row, never goes back, and an eviction changes nothing", {
    timeout: 60_000,
  }, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const kept = new Kept();
        kept.openEpoch();
        let firstBefore = 1;
        const headBefore = new Map<string, number>();
        for (const next of steps) {
          const before = TRACKS.map((rendition) => kept.timeline.listed(rendition));
          kept.apply(next);
          if (next.kind === "evict") expect(TRACKS.map((rendition) => kept.timeline.listed(rendition))).toEqual(before);
          expect(kept.timeline.firstMsn).toBeGreaterThanOrEqual(firstBefore);
          firstBefore = kept.timeline.firstMsn;
          for (const rendition of TRACKS) {
            const listed = msns(kept.timeline, rendition);
            for (const [index, msn] of listed.entries()) {
              expect(msn).toBe(firstBefore + index);
              expect(kept.segments.has(`${rendition}/${msn}`)).toBe(true);
            }
            const head = listed.at(-1) ?? headBefore.get(rendition) ?? 0;
            expect(head).toBeGreaterThanOrEqual(headBefore.get(rendition) ?? 0);
            headBefore.set(rendition, head);
            const epochs = kept.timeline.listed(rendition).map((one) => one.epoch);
            expect([...epochs].sort((a, b) => a - b)).toEqual(epochs);
          }
        }
      }),
      { numRuns: 10_000 },
    );
  });
});
