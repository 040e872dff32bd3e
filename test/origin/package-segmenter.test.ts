import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Declared } from "../../domain/protocol/origin-link.ts";
import { AudioClock } from "../../origin/package/audio-clock.ts";
import { AudioSegmenter } from "../../origin/package/audio-segmenter.ts";
import { CadenceProbe, computeAudioCadence } from "../../origin/package/cadence.ts";
import type { CutPart, CutSegment } from "../../origin/package/open-segment.ts";
import type { Sample } from "../../origin/package/sample.ts";
import { VideoSegmenter } from "../../origin/package/video-segmenter.ts";

const NO_DATA = new Uint8Array(0);

interface Scene {
  fps: number;
  seconds: number;
  /** Whether that frame is an IDR. */
  idr: (frame: number) => boolean;
  sampleRate?: number;
  announced?: number | null;
  keyint?: number | "infinite" | null;
  declared?: Declared | null;
  /** Milliseconds added to a frame's time; must keep times rising. */
  delay?: (frame: number) => number;
  compositionMs?: number;
}

interface Cut {
  parts: CutPart[];
  segments: CutSegment[];
}

/** Runs a synthetic encoder, whose times are whole milliseconds, through cadence and segmenters. */
function play(scene: Scene) {
  const { fps, seconds, sampleRate = 48000 } = scene;
  const count = Math.round(fps * seconds);
  const timeMs = (frame: number) => Math.round((frame * 1000) / fps) + (scene.delay?.(frame) ?? 0);
  const frames: Sample[] = Array.from({ length: count }, (_, frame) => ({
    dts: timeMs(frame) * 90,
    duration: (timeMs(frame + 1) - timeMs(frame)) * 90,
    compositionOffset: (scene.compositionMs ?? 0) * 90,
    key: scene.idr(frame),
    data: NO_DATA,
  }));
  const probe = new CadenceProbe(
    {
      segmentTarget: 2,
      partTarget: 0.5,
      declared: scene.declared ?? null,
      announcedFrameRate: scene.announced === undefined ? fps : scene.announced,
      keyInterval: null,
    },
    "source",
  );
  probe.hint(scene.keyint ?? null);
  let cadence = null;
  for (const frame of frames) {
    probe.observe({ time: frame.dts / 90000, duration: frame.duration / 90000, idr: frame.key });
    cadence = probe.decide();
    if (cadence !== null) break;
  }
  cadence ??= probe.decide(true);
  if (cadence === null) throw new Error("no cadence");

  const audioCadence = computeAudioCadence({
    nominalPart: cadence.nominalPart,
    frameSeconds: 1024 / sampleRate,
    declaredPartTarget: scene.declared?.part_targets.audio ?? null,
  });
  const audio: Cut = { parts: [], segments: [] };
  const video: Cut = { parts: [], segments: [] };
  const boundaries: number[] = [];
  const warnings: string[] = [];
  const into = (cut: Cut) => ({
    onPart: (part: CutPart) => cut.parts.push(part),
    onSegment: (segment: CutSegment) => cut.segments.push(segment),
    onMissing: () => undefined,
  });
  const audioSegmenter = new AudioSegmenter(
    { timescale: sampleRate, frameTicks: 1024, cadence: audioCadence, targetDuration: cadence.targetDuration, nextMsn: 1 },
    into(audio),
  );
  const videoSegmenter = new VideoSegmenter(
    { timescale: 90000, cadence, segmentTarget: 2, nextMsn: 1 },
    {
      ...into(video),
      onBoundary: (time) => {
        boundaries.push(time);
        audioSegmenter.boundary(time);
      },
      onWarning: (message) => warnings.push(message),
    },
  );
  const clock = new AudioClock({ timescale: sampleRate, frameTicks: 1024 });
  let audioFrame = 0;
  for (const frame of frames) {
    videoSegmenter.push(frame);
    audioSegmenter.advance(videoSegmenter.decidedUntil);
    for (; (audioFrame * 1024) / sampleRate < frame.dts / 90000; audioFrame++) {
      const dts = Math.round((Math.round((audioFrame * 1024 * 1000) / sampleRate) * sampleRate) / 1000);
      const exact = clock.push({ dts, duration: 1024, compositionOffset: 0, key: true, data: NO_DATA });
      if (exact !== null) audioSegmenter.push(exact);
    }
  }
  videoSegmenter.end();
  audioSegmenter.end();
  return { cadence, audioCadence, audio, video, boundaries, warnings, frames };
}

function expectPartsFit(cut: Cut, partTarget: number, targetDuration: number): void {
  for (const [index, part] of cut.parts.entries()) {
    expect(part.duration).toBeLessThanOrEqual(partTarget + 1e-6);
    const next = cut.parts[index + 1];
    if (next?.msn === part.msn) {
      expect(part.duration).toBeGreaterThanOrEqual(0.85 * partTarget);
      expect(next.part).toBe(part.part + 1);
    }
  }
  for (const segment of cut.segments) {
    expect(Math.round(segment.duration)).toBeLessThanOrEqual(targetDuration);
    const sum = cut.parts.filter((part) => part.msn === segment.msn).reduce((total, part) => total + part.duration, 0);
    expect(sum).toBeCloseTo(segment.duration, 6);
  }
  expect(cut.segments.map((segment) => segment.msn)).toEqual(cut.segments.map((_, index) => index + 1));
}

function every(seconds: number, fps: number): (frame: number) => boolean {
  const frames = Math.round(seconds * fps);
  return (frame) => frame % frames === 0;
}

const RATES = [10, 24, 24000 / 1001, 25, 30000 / 1001, 30, 50, 60];

describe("cadence", () => {
  it.each([
    [30, 0.5],
    [30000 / 1001, 0.501],
    [25, 0.52],
    [24, 0.5],
    [60, 0.5],
    [10, 0.5],
    [1, 1],
  ])("[PL1] fixes the part target of %f frames a second at %f s", (fps, target) => {
    const { cadence } = play({ fps, seconds: 4, idr: every(2, fps) });
    expect(cadence.partTarget).toBe(target);
    expect(cadence.targetDuration).toBe(2);
  });

  it("[PL3] measures a frame rate that nobody announced, or that is not true", () => {
    expect(play({ fps: 30, seconds: 4, idr: every(2, 30), announced: null }).cadence.partTarget).toBeLessThanOrEqual(0.501);
    expect(play({ fps: 25, seconds: 4, idr: every(2, 25), announced: 60 }).cadence).toMatchObject({ partTarget: 0.52, frameRate: 25 });
    const uneven = play({ fps: 20, seconds: 4, idr: every(2, 20), delay: (frame) => (frame % 3) * 9 });
    expect(uneven.cadence).toMatchObject({ partTarget: 0.5, frameRate: null });
  });

  it.each([
    ["a second IDR after 1 s", { idr: every(1, 30) }, 2],
    ["a second IDR after 2 s", { idr: every(2, 30) }, 2],
    ["no second IDR in time", { idr: every(5, 30) }, 10],
    ["x264's keyint of 4 s", { idr: every(4, 30), keyint: 120 }, 4],
    ["x264's keyint of 8.3 s", { idr: every(8, 30), keyint: 250 }, 8],
    ["x264's infinite keyint", { idr: every(1, 30), keyint: "infinite" as const }, 10],
  ])("[PL1] decides the target duration from %s", (_, scene, expected) => {
    expect(play({ fps: 30, seconds: 12, ...scene }).cadence.targetDuration).toBe(expected);
  });

  it("[PL1] is bound by what the broadcast declared before, and waits for nothing then", () => {
    const declared = { target_duration: 4, part_targets: { source: 0.5, audio: 0.512 } };
    const probe = new CadenceProbe({ segmentTarget: 2, partTarget: 0.5, declared, announcedFrameRate: 25, keyInterval: null }, "source");
    probe.observe({ time: 0, duration: 0.04, idr: true });
    expect(probe.decide()).toMatchObject({ targetDuration: 4, partTarget: 0.5 });
    const { audio, video, cadence, audioCadence } = play({ fps: 25, seconds: 20, idr: every(2, 25), declared });
    expectPartsFit(video, cadence.partTarget, 4);
    expectPartsFit(audio, audioCadence.partTarget, 4);
    expect(audioCadence.partTarget).toBe(0.512);
  });

  it("[PL3] gives audio parts that hold whole frames", () => {
    expect(computeAudioCadence({ nominalPart: 0.5, frameSeconds: 1024 / 48000, declaredPartTarget: null }).partTarget).toBe(0.512);
    expect(computeAudioCadence({ nominalPart: 0.5, frameSeconds: 1024 / 44100, declaredPartTarget: null }).partTarget).toBe(0.511);
  });
});

describe("segmenters", () => {
  for (const fps of RATES) {
    for (const sampleRate of [44100, 48000]) {
      for (const gop of [1, 2, 10]) {
        it(`[PL3] [PL4] [CM3] fit at ${fps.toFixed(2)} fps, ${sampleRate} Hz and an IDR every ${gop} s`, () => {
          const { video, audio, cadence, audioCadence, boundaries, warnings } = play({
            fps,
            sampleRate,
            seconds: 40,
            idr: every(gop, fps),
          });
          expectPartsFit(video, cadence.partTarget, cadence.targetDuration);
          expectPartsFit(audio, audioCadence.partTarget, cadence.targetDuration);
          for (const part of video.parts) expect(part.independent).toBe(part.samples[0]?.key);
          for (const part of video.parts.filter((one) => one.part === 0)) expect(part.independent).toBe(true);
          expect(warnings).toEqual([]);
          expect(video.segments.length).toBe(boundaries.length);
          expect(audio.segments.length).toBe(boundaries.length);
          for (const [index, segment] of audio.segments.entries()) {
            expect(Math.abs(segment.start - (boundaries[index] ?? Number.NaN))).toBeLessThanOrEqual(512 / sampleRate + 0.001);
          }
        });
      }
    }
  }

  it("[PL3] [CM2] hold for six hours, audio within 20 ms of the video at every segment", () => {
    const { video, audio, cadence, audioCadence } = play({
      fps: 30000 / 1001,
      sampleRate: 44100,
      seconds: 6 * 3600,
      idr: every(2, 30000 / 1001),
    });
    expect(audio.segments.length).toBe(video.segments.length);
    for (const [index, segment] of audio.segments.entries()) {
      expect(Math.abs(segment.start - (video.segments[index]?.start ?? Number.NaN))).toBeLessThan(0.02);
      expect(Math.round(segment.duration)).toBeLessThanOrEqual(cadence.targetDuration);
    }
    expect(Math.max(...audio.segments.map((segment) => segment.duration))).toBeLessThan(2.1);
    let shortest = Number.POSITIVE_INFINITY;
    for (const [index, part] of audio.parts.entries())
      if (audio.parts[index + 1]?.msn === part.msn) shortest = Math.min(shortest, part.duration);
    expect(shortest).toBeGreaterThanOrEqual(0.85 * audioCadence.partTarget);
  });

  it("[PL3] [PL4] cut without a key frame before the target duration is passed, and say so once", () => {
    const { video, audio, cadence, audioCadence, warnings } = play({ fps: 30, seconds: 30, idr: (frame) => frame === 0 });
    expect(cadence.targetDuration).toBe(10);
    expectPartsFit(video, cadence.partTarget, 10);
    expectPartsFit(audio, audioCadence.partTarget, 10);
    expect(video.parts.map((part) => part.independent)).toEqual(video.parts.map((_, index) => index === 0));
    expect(warnings).toEqual([expect.stringMatching(/^no key frame for 10\.\d s: set the encoder's keyframe interval to 2 s$/)]);
  });

  it("[PL3] [PL4] follow scene cuts within x264's key interval", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 5, max: 120 }), { minLength: 10, maxLength: 30 }), (gops) => {
        const keys = new Set<number>();
        let at = 0;
        for (const gop of gops) {
          keys.add(at);
          at += gop;
        }
        const { video, audio, cadence, audioCadence, warnings } = play({
          fps: 30,
          seconds: at / 30,
          idr: (frame) => keys.has(frame),
          keyint: 120,
        });
        expect(cadence.targetDuration).toBe(4);
        expectPartsFit(video, cadence.partTarget, 4);
        expectPartsFit(audio, audioCadence.partTarget, 4);
        for (const part of video.parts) expect(part.independent).toBe(part.samples[0]?.key);
        expect(video.parts.filter((part) => part.part === 0).every((part) => part.independent)).toBe(true);
        expect(warnings).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it("keep every frame once and in order", () => {
    const { video, frames } = play({ fps: 30, seconds: 13, idr: every(2, 30), compositionMs: 67 });
    expect(video.parts.flatMap((part) => part.samples)).toEqual(frames);
  });

  it("[PL3] keep playing where the encoder left a gap, short or longer than a segment", () => {
    for (const gapMs of [300, 1200, 5000]) {
      const { video, audio, cadence, boundaries } = play({
        fps: 30,
        seconds: 20,
        idr: (frame) => frame % 60 === 0 || frame === 131,
        delay: (frame) => (frame > 130 ? gapMs : 0),
      });
      for (const cut of [video, audio]) {
        for (const segment of cut.segments) expect(Math.round(segment.duration)).toBeLessThanOrEqual(cadence.targetDuration);
        expect(cut.segments.map((segment) => segment.msn)).toEqual(boundaries.map((_, index) => index + 1));
      }
      for (const part of video.parts) expect(part.duration).toBeLessThanOrEqual(cadence.partTarget + 1e-6);
      for (const [index, segment] of video.segments.entries()) expect(segment.start).toBe(boundaries[index]);
    }
  });

  it("[PL4] [CM3] begin at an open GOP's I-frames where no IDR comes, at the time of the first picture shown", () => {
    const parts: CutPart[] = [];
    const segments: CutSegment[] = [];
    const boundaries: number[] = [];
    const cadence = { targetDuration: 2, partTarget: 0.5, nominalPart: 0.5, keyInterval: 2, frameRate: 30 };
    const segmenter = new VideoSegmenter(
      { timescale: 90000, cadence, segmentTarget: 2, nextMsn: 1 },
      {
        onPart: (part) => parts.push(part),
        onSegment: (segment) => segments.push(segment),
        onBoundary: (time) => boundaries.push(time),
        onWarning: () => {},
      },
    );
    // Two B-frames are shown before each P- and I-frame: decode order I B B P B B, offsets 3 1 1 frames, the first IDR's 1.
    for (let frame = 0; frame < 600; frame++) {
      const offset = frame === 0 ? 1 : frame % 3 === 0 ? 3 : 0;
      const key = frame === 0;
      const recovery = frame % 60 === 0 && !key;
      segmenter.push({ dts: frame * 3000, duration: 3000, compositionOffset: offset * 3000, key, recovery, data: NO_DATA });
    }
    segmenter.end();
    const firsts = parts.filter((part) => part.part === 0).map((part) => part.samples[0]);
    for (const first of firsts.slice(2)) expect(first?.recovery).toBe(true);
    expect(parts.filter((part) => part.independent)).toHaveLength(1);
    let end = boundaries[0] ?? Number.NaN;
    for (const [index, { duration }] of segments.entries()) {
      expect(boundaries[index]).toBeCloseTo(end, 6);
      end += duration;
    }
  });

  it("[CM2] drop frames that come again", () => {
    const parts: CutPart[] = [];
    const cadence = { targetDuration: 2, partTarget: 0.5, nominalPart: 0.5, keyInterval: 2, frameRate: 30 };
    const segmenter = new VideoSegmenter(
      { timescale: 90000, cadence, segmentTarget: 2, nextMsn: 5 },
      { onPart: (part) => parts.push(part), onSegment: () => {}, onBoundary: () => {}, onWarning: () => {} },
    );
    const frame = (index: number) => ({ dts: index * 3000, duration: 3000, compositionOffset: 0, key: index % 60 === 0, data: NO_DATA });
    for (let index = 0; index < 100; index++) segmenter.push(frame(index));
    for (let index = 60; index < 180; index++) segmenter.push(frame(index));
    segmenter.end();
    expect(segmenter.dropped).toBe(40);
    expect(parts.flatMap((part) => part.samples.map((sample) => sample.dts))).toEqual(
      Array.from({ length: 180 }, (_, index) => index * 3000),
    );
    expect(parts[0]?.msn).toBe(5);
  });
});

describe("audio clock", () => {
  const run = (times: number[]) => {
    const clock = new AudioClock({ timescale: 48000, frameTicks: 1024 });
    const out = times.flatMap((dts) => clock.push({ dts, duration: 1, compositionOffset: 0, key: true, data: NO_DATA }) ?? []);
    return { frames: out, dropped: clock.dropped };
  };

  it("[CM2] takes rounded times for exact ones", () => {
    const { frames } = run(Array.from({ length: 500 }, (_, index) => Math.round((index * 1024) / 48) * 48));
    expect(frames.map((frame) => frame.dts)).toEqual(frames.map((_, index) => index * 1024));
    expect(frames.every((frame) => frame.duration === 1024)).toBe(true);
  });

  it("[CM2] jumps forward over a gap and drops what comes too early", () => {
    const { frames, dropped } = run([0, 1024, 2048 + 4800, 1024, 3072 + 4800, 4096 + 4800]);
    expect(dropped).toBe(1);
    expect(frames.map((frame) => [frame.dts, frame.duration])).toEqual([
      [0, 1024],
      [1024, 5824],
      [6848, 1024],
      [7872, 1024],
    ]);
  });
});
