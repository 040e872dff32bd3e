import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SHARD_LEASE_MS, ShardLedger } from "../../domain/audience/shard-ledger.ts";
import {
  type Aggregate,
  addAggregate,
  aggregateOf,
  emptyAggregate,
  packAggregate,
  unpackAggregate,
} from "../../domain/metrics/aggregate.ts";
import { estimateEgress } from "../../domain/metrics/egress.ts";
import { newStalls } from "../../domain/metrics/new-stalls.ts";
import { pointsOfAggregates, pointsOfSamples } from "../../domain/metrics/points.ts";
import { addTallies, onlyKnown, type PlaybackTally, tallyRenditions } from "../../domain/metrics/quality-tally.ts";
import { decideResolution, MAX_POINTS, STEPS } from "../../domain/metrics/resolution.ts";
import { mergeSamples, packSample, rowOf, type Sample, secondOf, unpackSample } from "../../domain/metrics/sample.ts";
import { MetricPoint, Metrics } from "../../domain/protocol/api/metrics.ts";
import { sampleAt, samplesFrom } from "./metrics-scene.ts";

const HOUR = 3_600;
const DAY = 86_400;
/** A whole day. */
const NOW = Date.UTC(2026, 10, 21);

describe("the range and the step", () => {
  const ask = (since: number | null, until: number | null, step: number | null) =>
    decideResolution({ since: since === null ? null : NOW + since * 1000, until: until === null ? null : NOW + until * 1000, step }, NOW);

  it.each([
    ["the last hour where nothing is asked for", null, null, null, 5, "seconds"],
    ["a quarter of an hour at once", -900, 0, null, 1, "seconds"],
    ["the step that is asked for", -HOUR, 0, 30, 30, "seconds"],
    ["a longer one where there would be too many points", -HOUR, 0, 1, 5, "seconds"],
    ["the next longer one of the ladder", -HOUR, 0, 7, 10, "seconds"],
    ["eight hours from seconds", -8 * HOUR, 0, null, 30, "seconds"],
    ["nine hours from minutes", -9 * HOUR, 0, null, 60, "minutes"],
    ["a short range of yesterday from minutes", -DAY - 60, -DAY, 1, 60, "minutes"],
    ["ten days from minutes", -10 * DAY, 0, null, 900, "minutes"],
    ["thirty days from hours", -30 * DAY, 0, null, HOUR, "hours"],
    ["a day each", -30 * DAY, 0, DAY, DAY, "hours"],
  ] as const)("%s", (_, since, until, step, expected, from) => {
    expect(ask(since, until, step)).toMatchObject({ step: expected, from });
  });

  it("reaches outwards to whole steps", () => {
    expect(ask(-95, -5, 10)).toEqual({ since: NOW / 1000 - 100, until: NOW / 1000, step: 10, from: "seconds" });
  });

  it.each([
    ["since", -10, -10, null],
    ["since", 0, null, null],
    ["since", 10, null, null],
    ["since", -31 * DAY - 1, 0, null],
    ["step", -10, 0, 86_401],
  ])("refuses nonsense, naming the field: %s of %s to %s, step %s", (field, since, until, step) => {
    expect(() => ask(since, until, step)).toThrow(
      expect.objectContaining({ status: 400, code: "invalid_request", details: [{ field, message: expect.any(String) }] }),
    );
  });

  it("never gives more than 1,000 points, and each step it gives holds whole minutes or comes from seconds that are kept", () => {
    const range = fc.record({ ago: fc.integer({ min: 1, max: 40 * DAY }), length: fc.integer({ min: 1, max: 31 * DAY }) });
    const step = fc.option(fc.integer({ min: 1, max: DAY }));
    fc.assert(
      fc.property(range, step, ({ ago, length }, asked) => {
        const answer = ask(-ago, -ago + length, asked);
        expect(STEPS).toContain(answer.step);
        expect(answer.step).toBeGreaterThanOrEqual(asked ?? 0);
        expect((answer.until - answer.since) / answer.step).toBeLessThanOrEqual(MAX_POINTS);
        expect([answer.since % answer.step, answer.until % answer.step]).toEqual([0, 0]);
        expect(answer.since * 1000).toBeLessThanOrEqual(NOW - ago * 1000);
        expect(answer.until * 1000).toBeGreaterThanOrEqual(NOW + (length - ago) * 1000);
        expect(answer.step % { seconds: 1, minutes: 60, hours: HOUR }[answer.from]).toBe(0);
        if (answer.from === "seconds") expect(ago).toBeLessThanOrEqual(DAY);
      }),
    );
  });
});

describe("a second", () => {
  it("is the one that a heartbeat falls into, and a late one's is the one before", () => {
    expect(secondOf(5_999, null)).toBe(5);
    expect(secondOf(7_200, 5)).toBe(6);
    expect(secondOf(7_500, 5)).toBe(7);
    expect(secondOf(9_000, 5)).toBe(9);
    expect(secondOf(5_999, 5)).toBe(5);
    expect(secondOf(3_000, 5)).toBe(5);
    expect(secondOf(3_000, 500)).toBe(3);
  });

  it("leaves no hole where heartbeats are a little late or early, and comes twice at most once", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 999 }),
        fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 30, maxLength: 30 }),
        (phase, jitters) => {
          let last: number | null = null;
          const seen = jitters.map((jitter, index) => {
            last = secondOf(1_000_000 + phase + index * 1000 + jitter, last);
            return last;
          });
          const steps = seen.slice(1).map((second, index) => second - (seen[index] as number));
          expect(steps.filter((step) => step !== 1).length).toBeLessThanOrEqual(1);
          expect(Math.max(...steps)).toBe(1);
        },
      ),
    );
  });

  it("goes through a row and comes back", () => {
    const sample = sampleAt(1_234_567, { keyframeInterval: null, health: "fair", settled: false, renditions: { "720p": 3 } });
    const row = rowOf(sample.at);
    expect(row).toBe(1_234_560);
    expect(unpackSample(row, JSON.parse(JSON.stringify(packSample(sample))))).toEqual(sample);
  });

  it("that two heartbeats share has what happened in both", () => {
    const merged = mergeSamples(
      sampleAt(1, { dropped: 2, stalls: 1, joins: 4, viewers: 12 }),
      sampleAt(1, { dropped: 3, errors: 1, fps: 25 }),
    );
    expect(merged).toEqual(sampleAt(1, { dropped: 5, stalls: 1, joins: 4, errors: 1, viewers: 12, fps: 25 }));
  });
});

describe("an aggregate", () => {
  const anySample: fc.Arbitrary<Sample> = fc
    .record({
      ...{
        viewers: fc.nat(9999),
        pull: fc.nat(99),
        joins: fc.nat(9),
        ingressKbps: fc.nat(9999),
        egressKbps: fc.nat(99_999),
        fps: fc.nat(60),
      },
      ...{ dropped: fc.nat(9), stalls: fc.nat(9), errors: fc.nat(3), keyframeInterval: fc.option(fc.nat(10)), speed: fc.nat(2) },
      settled: fc.boolean(),
      health: fc.constantFrom("good" as const, "fair" as const, "poor" as const),
      renditions: fc.dictionary(fc.constantFrom("source", "720p", "constructor"), fc.nat(99)),
    })
    .map((sample) => ({ at: 0, ...sample, renditions: { ...sample.renditions } }));

  it("of parts is the aggregate of the whole, through rows and back", () => {
    fc.assert(
      fc.property(fc.array(anySample), fc.array(anySample), (one, other) => {
        const together = stored(aggregateOf(one));
        addAggregate(together, stored(aggregateOf(other)));
        expect(together).toEqual(aggregateOf([...one, ...other]));
      }),
    );
  });

  it("of nothing adds nothing", () => {
    const one = aggregateOf([sampleAt(0)]);
    addAggregate(one, stored(emptyAggregate()));
    expect(one).toEqual(aggregateOf([sampleAt(0)]));
  });

  function stored(aggregate: Aggregate): Aggregate {
    return unpackAggregate(JSON.parse(JSON.stringify(packAggregate(aggregate))));
  }
});

describe("points", () => {
  const since = NOW / 1000 - HOUR;
  const resolution = { since, until: since + HOUR, step: 10, from: "seconds" } as const;

  it("have means, extremes and sums of their seconds", () => {
    const samples = [
      sampleAt(since, {
        viewers: 1,
        ingressKbps: 1000,
        fps: 20,
        dropped: 3,
        keyframeInterval: null,
        speed: 0.9,
        health: "poor",
        renditions: {},
      }),
      sampleAt(since + 9, {
        viewers: 2,
        ingressKbps: 2000,
        fps: 30,
        stalls: 2,
        errors: 1,
        joins: 5,
        keyframeInterval: 4,
        renditions: { source: 1 },
      }),
    ];
    const [point, ...others] = pointsOfSamples(samples, resolution);
    expect(others).toEqual([]);
    expect(MetricPoint.parse(point)).toEqual({
      ...{ at: new Date(since * 1000).toISOString(), seconds: 2, viewers: 1.5, viewers_max: 2, pull: 1, joins: 5 },
      ...{ ingress_kbps: 1500, ingress_kbps_min: 1000, ingress_kbps_max: 2000, egress_kbps: 20_000, fps: 25, fps_min: 20 },
      ...{ dropped_frames: 3, keyframe_interval: 4, keyframe_interval_max: 4, speed: 0.95, speed_min: 0.9, stalls: 2, errors: 1 },
      ...{ health_seconds: { good: 1, fair: 0, poor: 1 }, renditions: { source: 0.5 } },
    });
  });

  it("begin at multiples of the step, in order, without those that have no sample and without what lies outside", () => {
    const samples = [...samplesFrom(since + 100, 20), ...samplesFrom(since - 5, 10), sampleAt(since + HOUR)];
    const points = pointsOfSamples(samples, resolution);
    expect(points.map(({ at, seconds }) => [Date.parse(at) / 1000 - since, seconds])).toEqual([
      [0, 5],
      [100, 10],
      [110, 10],
    ]);
  });

  it("from minutes are those from seconds", () => {
    const samples = samplesFrom(since, HOUR, (index) => ({ viewers: index % 97, ingressKbps: 1000 + index, stalls: index % 2 }));
    const step = { ...resolution, step: 300 };
    const minutes = Array.from(
      { length: 60 },
      (_, index) => [since + index * 60, aggregateOf(samples.slice(index * 60, index * 60 + 60))] as const,
    );
    expect(pointsOfAggregates(minutes, step)).toEqual(pointsOfSamples(samples, step));
    expect(pointsOfAggregates(minutes, step).length).toBe(12);
  });

  it("of the API's example are valid", () => {
    expect(Metrics.parse(Metrics.meta()?.example)).toEqual(Metrics.meta()?.example);
  });
});

describe("what shards tell", () => {
  const report = (shard: number, boot: number, seq: number, playback: PlaybackTally) => {
    return { shard, boot, seq, connected: 5, sockets: 5, knows: 0, playback };
  };

  it("is added up, by their last words; what counts up is counted once, over their lives and over a life of the ledger", () => {
    const ledger = new ShardLedger();
    ledger.accept(report(0, 1, 1, { renditions: { source: 3 }, stalls: 2, joins: 5 }), NOW);
    ledger.accept(report(1, 1, 1, { renditions: { source: 1, "720p": 4 }, stalls: 0, joins: 5 }), NOW);
    ledger.accept(report(0, 1, 2, { renditions: { source: 5 }, stalls: 3, joins: 6 }), NOW);
    ledger.accept(report(0, 1, 1, { renditions: { source: 3 }, stalls: 2, joins: 5 }), NOW);
    expect(ledger.playback(NOW)).toEqual({ renditions: { source: 6, "720p": 4 }, stalls: 3, joins: 11 });
    ledger.accept(report(0, 2, 1, { renditions: { source: 4 }, stalls: 1, joins: 0 }), NOW);
    expect(ledger.playback(NOW)).toEqual({ renditions: { source: 5, "720p": 4 }, stalls: 4, joins: 11 });
    const woken = new ShardLedger(JSON.parse(JSON.stringify(ledger.snapshot())));
    woken.accept(report(0, 2, 2, { renditions: { source: 4 }, stalls: 2, joins: 1 }), NOW);
    expect(woken.playback(NOW)).toEqual({ renditions: { source: 5, "720p": 4 }, stalls: 1, joins: 1 });
  });

  it("holds as long as their numbers do, and is nothing from those who don't tell", () => {
    const ledger = new ShardLedger();
    ledger.accept({ shard: 0, boot: 1, seq: 1, connected: 5, sockets: 5, knows: 0 }, NOW);
    ledger.accept(report(1, 1, 1, { renditions: { source: 1 }, stalls: 1, joins: 1 }), NOW);
    expect(ledger.playback(NOW)).toEqual({ renditions: { source: 1 }, stalls: 1, joins: 1 });
    expect(ledger.playback(NOW + SHARD_LEASE_MS)).toEqual({ renditions: {}, stalls: 1, joins: 1 });
  });
});

describe("who plays what", () => {
  it("is counted by what can be a rendition's name, and no more of them than a few", () => {
    expect(tallyRenditions(["source", "720p", "source", null, "__proto__", "", "1", "a b", "<script>"])).toEqual({ source: 2, "720p": 1 });
    const flood = Array.from({ length: 500 }, (_, index) => `x${index}`);
    const tally = tallyRenditions([...flood, "source", "source"]);
    expect(Object.keys(tally).length).toBe(24);
    expect(tally.source).toBe(2);
    expect(onlyKnown(tally, ["source", "720p"])).toEqual({ source: 2 });
  });

  it("is added up over objects", () => {
    const one = { renditions: { source: 2, constructor1: 1 }, stalls: 3, joins: 1 };
    expect(addTallies(one, { renditions: { source: 1, "720p": 4 }, stalls: 1, joins: 2 })).toEqual({
      renditions: { source: 3, constructor1: 1, "720p": 4 },
      stalls: 4,
      joins: 3,
    });
  });

  it("gives what goes out: each at its rendition's bitrate, those who don't say like the others", () => {
    const bitrates = { video: { source: 4000, "720p": 1000 }, audio: 100 };
    expect(estimateEgress(0, {}, bitrates)).toBe(0);
    expect(estimateEgress(3, {}, bitrates)).toBe(3 * 4100);
    expect(estimateEgress(4, { source: 1, "720p": 1 }, bitrates)).toBe(4100 + 1100 + 2 * 2600);
    expect(estimateEgress(2, { gone: 2 }, bitrates)).toBe(2 * 4100);
    expect(estimateEgress(2, {}, { video: {}, audio: 100 })).toBe(200);
  });

  it.each([
    ["a first word counts all", 2, { stalls: 0, at: 0 }, false, 2],
    ["a later one what it adds", 5, { stalls: 2, at: 50_000 }, false, 3],
    ["one after a new connection of the same page nothing", 5, { stalls: 0, at: 0 }, true, 0],
    ["the one after that what it adds", 6, { stalls: 5, at: 50_000 }, true, 1],
    ["a page that was opened anew all", 1, { stalls: 7, at: 50_000 }, false, 1],
    ["none more than one a second", 1e9, { stalls: 0, at: 50_000 }, false, 10],
  ])("stalls: %s", (_, said, before, isBack, expected) => {
    expect(newStalls(said, before, { joinedAt: 40_000, isBack }, 60_000)).toBe(expected);
  });
});
