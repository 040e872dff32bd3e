import { describe, expect, it } from "vitest";
import { computeAnalytics } from "../../domain/analytics/analytics.ts";
import {
  type BroadcastSummary,
  beginSummary,
  countSamples,
  noteWarnings,
  packSummary,
  unpackSummary,
} from "../../domain/analytics/broadcast-summary.ts";
import { computeFindings } from "../../domain/analytics/findings.ts";
import { computeHealthScore } from "../../domain/analytics/health-score.ts";
import type { Sample } from "../../domain/metrics/sample.ts";
import { Analytics } from "../../domain/protocol/api/analytics.ts";
import { samplesFrom } from "./metrics-scene.ts";

const START = Date.UTC(2026, 10, 21) / 1000;

/** A broadcast of so many seconds, which has ended. */
function broadcastOf(seconds: number, named: (index: number) => Partial<Sample> = () => ({}), facts: Partial<BroadcastSummary> = {}) {
  const summary = countSamples(beginSummary(1, START * 1000, START), samplesFrom(START, seconds, named), START + seconds);
  return { ...summary, endedAt: (START + seconds) * 1000, endReason: "unpublished", ...facts };
}

describe("a summary", () => {
  it("counts each sample once, however often it sees it", () => {
    const samples = samplesFrom(START - 5, 100);
    const once = countSamples(beginSummary(1, START * 1000, START), samples, START + 60);
    expect(once.total.seconds).toBe(60);
    expect(countSamples(once, samples, START + 60)).toEqual(once);
    expect(countSamples(once, samples, START + 1000).total.seconds).toBe(95);
  });

  it("remembers peaks and when they were, through a row and back", () => {
    const summary = broadcastOf(60, (index) => ({ viewers: index === 20 ? 50 : 10, ingressKbps: index === 30 ? 9000 : 2000 }));
    expect(summary.peakViewers).toEqual({ value: 50, at: (START + 20) * 1000 });
    expect(summary.peakIngressKbps).toEqual({ value: 9000, at: (START + 30) * 1000 });
    expect(unpackSummary(JSON.parse(JSON.stringify(packSummary(summary))))).toEqual(summary);
    const empty = beginSummary(1, 0, 0);
    expect(unpackSummary(JSON.parse(JSON.stringify(packSummary(empty))))).toEqual(empty);
  });

  it("keeps ten warnings, each once", () => {
    const summary = noteWarnings(noteWarnings(beginSummary(1, 0, 0), ["a", "b"]), ["b", ..."cdefghijklm"]);
    expect(summary.warnings.join("")).toBe("abcdefghij");
    expect(noteWarnings(summary, ["a"])).toBe(summary);
  });
});

describe("health", () => {
  it("of a good broadcast is 100, without reasons or recommendations", () => {
    expect(computeHealthScore(broadcastOf(3600))).toEqual({ score: 100, grade: "good", reasons: [] });
    expect(computeFindings(broadcastOf(3600))).toEqual([]);
  });

  it.each<[string, BroadcastSummary, string, "good" | "fair" | "poor", string, RegExp]>([
    ["key frames far apart", broadcastOf(600, () => ({ keyframeInterval: 8.3 })), "keyframe_interval_long", "good", "warning", /8\.3 s/],
    [
      "key frames that come now and then",
      broadcastOf(600, (index) => ({ keyframeInterval: index === 50 ? 9 : 2 })),
      "keyframe_interval_unsteady",
      "good",
      "warning",
      /longest was 9 s/,
    ],
    [
      "a bitrate that swings",
      broadcastOf(600, (index) => ({ ingressKbps: index % 2 === 0 ? 1000 : 3000 })),
      "bitrate_unstable",
      "good",
      "warning",
      /CBR.*50 % around 2000 kbit\/s.*3000 kbit\/s/,
    ],
    ["dropped frames", broadcastOf(600, () => ({ dropped: 3 })), "dropped_frames", "fair", "critical", /9\.1 %/],
    [
      "a few dropped frames",
      broadcastOf(600, (index) => ({ dropped: index === 9 ? 30 : 0 })),
      "dropped_frames",
      "good",
      "warning",
      /0\.2 %/,
    ],
    [
      "a frame rate that swings",
      broadcastOf(600, (index) => ({ fps: index % 2 === 0 ? 10 : 30 })),
      "frame_rate_unstable",
      "good",
      "critical",
      /50 % around 20 a second/,
    ],
    ["an origin that falls behind", broadcastOf(600, () => ({ speed: 0.9 })), "origin_slow", "fair", "warning", /90 % of real time/],
    ["a connection that breaks", broadcastOf(3600, () => ({}), { reconnects: 4 }), "reconnects", "good", "warning", /4 times/],
    [
      "players that stall",
      broadcastOf(3600, () => ({ stalls: 1 })),
      "stalls",
      "fair",
      "critical",
      /3600 times in 10 hours of watching.*2000 kbit\/s/,
    ],
    [
      "a fault at the end",
      broadcastOf(60, () => ({}), { failed: true, endReason: "H.265 cannot be played" }),
      "broadcast_failed",
      "fair",
      "critical",
      /H\.264/,
    ],
    [
      "what the origin noticed",
      broadcastOf(60, () => ({}), { warnings: ["the encoder's audio has stopped"] }),
      "origin_warning",
      "good",
      "warning",
      /audio has stopped/,
    ],
  ])("%s: one reason, its points off, and a recommendation with numbers", (_, summary, code, grade, severity, words) => {
    const [finding, ...others] = computeFindings(summary);
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ code, severity });
    expect(finding?.advice).toMatch(words);
    expect(finding?.points).toBeGreaterThan(0);
    expect(computeHealthScore(summary)).toMatchObject({ score: 100 - (finding?.points ?? 0), grade, reasons: [{ code }] });
  });

  it("is poor where much is wrong, and never below 0", () => {
    const summary = broadcastOf(
      3600,
      (index) => ({ dropped: 9, speed: 0.5, fps: index % 2 === 0 ? 1 : 30, stalls: 3, keyframeInterval: 20 }),
      {
        reconnects: 9,
      },
    );
    expect(computeHealthScore(summary)).toMatchObject({ score: 0, grade: "poor" });
    const points = computeFindings(summary).map((finding) => finding.points);
    expect(points).toEqual(points.toSorted((a, b) => b - a));
  });

  it("says nothing of steadiness after a few seconds, and nothing at all before the first", () => {
    expect(computeFindings(broadcastOf(20, (index) => ({ ingressKbps: index * 900, fps: index, speed: 0.5 })))).toEqual([]);
    expect(computeHealthScore(beginSummary(1, 0, 0))).toBeNull();
  });

  it("does not take the first seconds of a connection for unsteadiness", () => {
    const beginning = (index: number) => (index < 5 ? { fps: 4, ingressKbps: 200 } : {});
    expect(computeFindings(broadcastOf(60, (index) => ({ ...beginning(index), settled: index >= 5 })))).toEqual([]);
    const codes = computeFindings(broadcastOf(60, beginning)).map(({ code }) => code);
    expect(codes).toEqual(["frame_rate_unstable", "bitrate_unstable"]);
  });

  it("a single stall of a small audience costs little", () => {
    expect(computeHealthScore(broadcastOf(60, (index) => ({ viewers: 1, stalls: index === 5 ? 1 : 0 })))?.score).toBe(95);
  });

  it("a silent broadcast is recommended sound, at no cost", () => {
    const answer = computeAnalytics(
      broadcastOf(60, () => ({}), { hasAudio: false }),
      "completed",
      [],
      0,
    );
    expect(answer.health?.score).toBe(100);
    expect(answer.recommendations.map(({ code }) => code)).toEqual(["no_audio"]);
  });
});

describe("analytics", () => {
  it("of a stream that was never live are empty", () => {
    const answer = Analytics.parse(computeAnalytics(null, "pending", [], 0));
    expect(answer).toMatchObject({ broadcast: null, health: null, totals: null, quality: [], trends: null, recommendations: [] });
  });

  it("of a broadcast have its totals, averages, peaks and distribution", () => {
    const summary = broadcastOf(100, (index) => ({
      viewers: 10,
      stalls: index === 9 ? 2 : 0,
      joins: index === 0 ? 12 : 0,
      renditions: { source: 6, "720p": 3 },
    }));
    const answer = Analytics.parse(computeAnalytics(summary, "completed", [], 0));
    expect(answer).toMatchObject({
      ...{ broadcast: 1, status: "completed", started_at: "2026-11-21T00:00:00.000Z", ended_at: "2026-11-21T00:01:40.000Z" },
      totals: {
        ...{ duration_seconds: 100, live_seconds: 100, viewer_seconds: 1000, sessions: 12, stalls: 2, stalls_per_viewer_hour: 7.2 },
        ...{ ingress_bytes: 25_000_000, egress_bytes: 250_000_000 },
      },
      averages: { viewers: 10, pull: 1, ingress_kbps: 2000, ingress_variation: 0, fps: 30, keyframe_interval: 2, speed: 1 },
      peaks: { viewers: { value: 10, at: "2026-11-21T00:00:00.000Z" } },
      quality: [
        { rendition: "source", share: 0.6, viewer_seconds: 600 },
        { rendition: "720p", share: 0.3, viewer_seconds: 300 },
        { rendition: "unknown", share: 0.1, viewer_seconds: 100 },
      ],
    });
  });

  it("compare with the mean of up to five broadcasts before it", () => {
    const former = [20, 40, 20, 40, 30, 9999].map((viewers, index) => broadcastOf(200, () => ({ viewers }), { broadcast: 7 - index }));
    const { trends } = computeAnalytics(
      broadcastOf(100, () => ({ viewers: 45 }), { broadcast: 8 }),
      "completed",
      former,
      0,
    );
    expect(trends).toEqual({
      compared_with: [7, 6, 5, 4, 3],
      viewers_average: { value: 45, before: 30, change_percent: 50 },
      viewers_peak: { value: 45, before: 30, change_percent: 50 },
      duration_seconds: { value: 100, before: 200, change_percent: -50 },
      health_score: { value: 100, before: 100, change_percent: 0 },
      stalls_per_viewer_hour: { value: 0, before: 0, change_percent: null },
    });
  });

  it("have nothing to compare a first broadcast with, and nothing to measure by before the first sample", () => {
    const answer = Analytics.parse(computeAnalytics(beginSummary(1, START * 1000, START), "active", [], START * 1000 + 500));
    expect(answer).toMatchObject({ health: null, averages: null, quality: [], totals: { duration_seconds: 0.5, viewer_seconds: 0 } });
    expect(answer.trends).toMatchObject({ compared_with: [], viewers_average: { value: null, before: null, change_percent: null } });
  });

  it("of the API's example are valid", () => {
    expect(Analytics.parse(Analytics.meta()?.example)).toEqual(Analytics.meta()?.example);
  });
});
