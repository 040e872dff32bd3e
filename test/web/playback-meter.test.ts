import { beforeEach, describe, expect, it } from "vitest";
import { Beacon, type BeaconEvent, MAX_BEACON_BYTES } from "../../domain/protocol/beacon.ts";
import { BeaconBatch } from "../../workers/web/pages/watch/beacon-batch.ts";
import { PlaybackMeter, type Vitals } from "../../workers/web/pages/watch/playback-meter.ts";
import type { PlayerPhase } from "../../workers/web/pages/watch/player-status.ts";

let told: BeaconEvent[];
let meter: PlaybackMeter;

/** The player is in a phase at a moment. */
function look(nowMs: number, phase: PlayerPhase, fields: Partial<Vitals> = {}): void {
  meter.look({ phase, isSeeking: false, rendition: "source", bufferedMs: 1_000, latencyMs: 1_700, ...fields }, nowMs);
}

beforeEach(() => {
  told = [];
  meter = new PlaybackMeter((event) => told.push(event));
});

describe("what a viewer went through", () => {
  it("begins with the time to the first picture", () => {
    look(100, "loading", { rendition: null });
    look(300, "loading");
    look(512.4, "playing");
    look(600, "playing");
    expect(told).toEqual([{ type: "startup", ms: 412, rendition: "source" }]);
  });

  it("is no start where the viewer had to press play", () => {
    look(0, "loading");
    look(500, "paused");
    look(9_000, "playing");
    expect(told).toEqual([]);
  });

  it("is a stall when the picture stops by itself, until it moves", () => {
    look(0, "loading");
    look(100, "playing");
    look(5_000, "stalled");
    look(5_100, "stalled");
    expect(meter.stalls).toBe(1);
    look(5_300, "playing");
    look(9_000, "error");
    look(9_200, "loading");
    look(9_900, "playing");
    expect(told.slice(1)).toEqual([
      { type: "stall", ms: 300, rendition: "source" },
      { type: "stall", ms: 900, rendition: "source" },
    ]);
    expect(meter.stalls).toBe(2);
  });

  it("is no stall where the viewer moved the picture, or paused", () => {
    look(0, "loading");
    look(100, "playing");
    look(5_000, "stalled", { isSeeking: true });
    look(6_000, "playing");
    look(7_000, "paused");
    look(60_000, "playing");
    expect(told).toHaveLength(1);
    expect(meter.stalls).toBe(0);
  });

  it("is another start after an end", () => {
    look(0, "loading");
    look(100, "playing");
    look(5_000, "ended", { rendition: null });
    look(9_000, "loading", { rendition: "720p" });
    look(9_200, "playing", { rendition: "720p" });
    expect(told.map((event) => ({ type: event.type, ms: "ms" in event ? event.ms : null }))).toEqual([
      { type: "startup", ms: 100 },
      { type: "startup", ms: 200 },
    ]);
  });

  it("names each change of the rendition", () => {
    look(0, "playing", { rendition: "720p" });
    look(1_000, "playing", { rendition: null });
    look(2_000, "playing", { rendition: "480p" });
    look(3_000, "playing", { rendition: "480p" });
    look(4_000, "playing", { rendition: "720p" });
    expect(told).toEqual([
      { type: "switch", from: "720p", to: "480p" },
      { type: "switch", from: "480p", to: "720p" },
    ]);
    expect(meter.switches).toBe(2);
  });

  it("has its latency looked at each 30 s of playing live", () => {
    for (let second = 0; second <= 95; second++) look(second * 1000, "playing", { latencyMs: 1_000 + second });
    expect(told).toEqual([30, 60, 90].map((second) => ({ type: "latency", ms: 1_000 + second, rendition: "source" })));
    for (let second = 96; second < 200; second++) look(second * 1000, "playing", { latencyMs: null });
    expect(told).toHaveLength(3);
  });

  it("names a failure once, until it has been away for a while", () => {
    for (const at of [0, 4_000, 8_000, 12_000, 30_000]) meter.failed("network", at);
    meter.failed("media", 30_000);
    expect(told).toEqual([
      { type: "error", code: "network" },
      { type: "error", code: "network" },
      { type: "error", code: "media" },
    ]);
  });
});

describe("events on their way", () => {
  const event: BeaconEvent = { type: "switch", from: "abcdefghijklmnop", to: "ponmlkjihgfedcba" };
  let sent: BeaconEvent[][];
  let batch: BeaconBatch;

  beforeEach(() => {
    sent = [];
    batch = new BeaconBatch((events) => sent.push(events));
  });

  it("are sent together, and nothing is sent where there are none", () => {
    batch.flush(0);
    batch.add(event, 1);
    batch.add(event, 2);
    batch.flush(30_000);
    batch.flush(60_000);
    expect(sent).toEqual([[event, event]]);
  });

  it("are never more than the server takes, in size, number and pace", () => {
    for (let nowMs = 0; nowMs < 60_000; nowMs += 10) batch.add(event, nowMs);
    batch.flush(60_000);
    expect(sent.length).toBeGreaterThan(5);
    expect(sent.length).toBeLessThanOrEqual(10);
    for (const events of sent) {
      const body = JSON.stringify(Beacon.parse({ viewer: "v".repeat(64), events }));
      expect(body.length).toBeLessThan(MAX_BEACON_BYTES);
    }
  });
});
