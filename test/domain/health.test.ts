import { describe, expect, it } from "vitest";
import { computeHealth, healthOf, type Measured } from "../../domain/broadcast/health.ts";

const measured: Measured = { fps: 30, bitrate_kbps: 2_000, dropped_frames: 0, keyframe_interval: 2, speed: 1, timestamp_jumps: 0 };

describe("computeHealth", () => {
  it.each([
    ["good", {}, []],
    ["good", { speed: 0.96 }, []],
    ["fair", { speed: 0.93 }, [/93 % of real time/]],
    ["fair", { dropped_frames: 1 }, [/^1 frame dropped$/]],
    ["fair", { keyframe_interval: 10 }, [/10 s apart/]],
    ["fair", { timestamp_jumps: 1 }, [/clock jumps/]],
    ["fair", { fps: 20 }, [/fell to 20 from 30/]],
    ["poor", { dropped_frames: 3 }, [/^3 frames dropped$/]],
    ["poor", { speed: 0.8 }, [/80 % of real time/]],
    ["poor", { fps: 0 }, [/no pictures/]],
    ["poor", { keyframe_interval: 6, speed: 0.5, dropped_frames: 1 }, [/50 %/, /1 frame/, /6 s apart/]],
  ] as const)("is %s with %o, and says why", (health, change, words) => {
    const report = computeHealth({ ...measured, ...change }, { before: measured, usualFps: 30 });
    expect(report.health).toBe(health);
    expect(report.reasons.length).toBe(words.length);
    for (const [index, word] of words.entries()) expect(report.reasons[index]).toMatch(word);
  });

  it("counts only what is new since the heartbeat before, by how long ago that was", () => {
    const before = { ...measured, dropped_frames: 40, timestamp_jumps: 3 };
    expect(computeHealth(before, { before }).health).toBe("good");
    expect(computeHealth({ ...before, dropped_frames: 45 }, { before, seconds: 5 }).health).toBe("fair");
    expect(computeHealth({ ...before, dropped_frames: 45 }, { before }).health).toBe("poor");
  });

  it("expects no pictures of a stream that has none", () => {
    const sound = { ...measured, fps: 0, keyframe_interval: null };
    expect(computeHealth(sound, { before: null, hasVideo: false })).toEqual({ health: "good", reasons: [] });
  });
});

it("an origin's own judgement stands", () => {
  const heartbeat = { ...measured, speed: 0.5, warnings: [] };
  const judged = { ...heartbeat, health: "fair" as const, health_reasons: ["a key frame was late"] };
  expect(healthOf(judged, { before: null })).toEqual({ health: "fair", reasons: ["a key frame was late"] });
  expect(healthOf({ ...heartbeat, health: null, health_reasons: [] }, { before: null }).health).toBe("poor");
});
