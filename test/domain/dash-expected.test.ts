import { describe, expect, it } from "vitest";
import { endsOf, expectAudioSegments, expectSegments, type TimedSegment } from "../../domain/dash/expected.ts";
import { AudioSegmenter } from "../../origin/package/audio-segmenter.ts";
import { computeAudioCadence } from "../../origin/package/cadence.ts";
import type { FollowingCutTarget } from "../../origin/package/following-segmenter.ts";
import type { CutPart } from "../../origin/package/open-segment.ts";
import { VideoSegmenter } from "../../origin/package/video-segmenter.ts";
import { AUDIO } from "./dash-scene.ts";

const NO_DATA = new Uint8Array(0);
/** How far past the end that it was told of a player looks for the next segment. */
const SAFETY = 0.01;

interface Encoder {
  fps: number;
  sampleRate: number;
  keyFrames: number;
  /** Milliseconds by which a frame is late; times must keep rising. */
  delay?: (frame: number) => number;
}

/** What the packager makes of an encoder whose times are whole milliseconds. */
function encode({ fps, sampleRate, keyFrames, delay = () => 0 }: Encoder): { video: TimedSegment[]; audio: TimedSegment[] } {
  const cut = { video: [] as CutPart[], audio: [] as CutPart[] };
  const into = (parts: CutPart[]): FollowingCutTarget => ({ onPart: (part) => parts.push(part), onSegment: () => {}, onMissing: () => {} });
  const nominalPart = Math.round(0.5 * fps) / fps;
  const audioCadence = computeAudioCadence({ nominalPart, frameSeconds: 1024 / sampleRate, declaredPartTarget: null });
  const audio = new AudioSegmenter(
    { timescale: sampleRate, frameTicks: 1024, cadence: audioCadence, targetDuration: 2, nextMsn: 1 },
    into(cut.audio),
  );
  const cadence = { targetDuration: 2, partTarget: 0.55, nominalPart, keyInterval: keyFrames / fps, frameRate: fps };
  const video = new VideoSegmenter(
    { timescale: 90000, cadence, segmentTarget: 2, nextMsn: 1 },
    { ...into(cut.video), onBoundary: (time) => audio.boundary(time), onWarning: () => {} },
  );
  const at = (frame: number) => Math.round((frame * 1000) / fps) + delay(frame);
  let audioFrame = 0;
  for (let frame = 0; frame < fps * 80; frame++) {
    const duration = (at(frame + 1) - at(frame)) * 90;
    video.push({ dts: at(frame) * 90, duration, compositionOffset: 0, key: frame % keyFrames === 0, data: NO_DATA });
    audio.advance(video.decidedUntil);
    for (; (audioFrame * 1024) / sampleRate < at(frame) / 1000; audioFrame++) {
      audio.push({ dts: audioFrame * 1024, duration: 1024, compositionOffset: 0, key: true, data: NO_DATA });
    }
  }
  return { video: toSegments(cut.video, 90000), audio: toSegments(cut.audio, sampleRate) };
}

/** Segments as the edge lists them; the last one is not whole. */
function toSegments(parts: CutPart[], timescale: number): TimedSegment[] {
  const last = parts.at(-1)?.msn ?? 0;
  return Array.from({ length: last - 1 }, (_, index) => {
    const samples = parts.filter((part) => part.msn === index + 1).flatMap((part) => part.samples);
    const duration = samples.reduce((sum, sample) => sum + sample.duration, 0);
    const time = { start: samples[0]?.dts ?? 0, duration, timescale };
    return { msn: index + 1, epoch: 1, duration: duration / timescale, pdt: 0, time, size: 1, digest: "", gap: false, parts: [] };
  });
}

function end({ start, duration, timescale }: TimedSegment["time"]): number {
  return (start + duration) / timescale;
}

const ENCODERS: [string, Encoder][] = [
  ["30 frames a second", { fps: 30, sampleRate: 48000, keyFrames: 60 }],
  ["29.97 frames a second", { fps: 30000 / 1001, sampleRate: 48000, keyFrames: 60 }],
  ["25 frames a second, 44.1 kHz", { fps: 25, sampleRate: 44100, keyFrames: 50 }],
  ["60 frames a second, key frames each second", { fps: 60, sampleRate: 44100, keyFrames: 60 }],
  ["frames up to 20 ms late", { fps: 30, sampleRate: 48000, keyFrames: 60, delay: (frame) => (frame * 7919) % 21 }],
];

describe("segments that are not whole yet", () => {
  it.each(ENCODERS)("[DA4] are announced so that a player never gets the same one twice: %s", (_, encoder) => {
    const { video, audio } = encode(encoder);
    const track = { ...AUDIO, sample_rate: encoder.sampleRate };
    let told = 0;
    for (let count = 3; count + 2 <= Math.min(video.length, audio.length); count++) {
      const listed = { video: video.slice(0, count), audio: audio.slice(0, count) };
      const expected = expectSegments(listed.video);
      expect(expected.length).toBe(2);
      const expectedAudio = expectAudioSegments(listed.audio, track, endsOf(listed.video, expected));
      expect(expectedAudio.length).toBe(2);
      for (const [all, times] of [
        [video, expected],
        [audio, expectedAudio],
      ] as const) {
        const [next] = times as [TimedSegment["time"]];
        const real = (all[count] as TimedSegment).time;
        expect(next.start).toBe(real.start);
        const after = end(next) + SAFETY;
        expect(Number.isInteger(next.duration)).toBe(true);
        // Jitter that has not been seen before may come once; it is never the rule.
        if (after > end(real) && after < end((all[count + 1] as TimedSegment).time)) told += 1;
      }
    }
    expect(told).toBeGreaterThanOrEqual(0.95 * 2 * (Math.min(video.length, audio.length) - 4));
  });

  it.each(ENCODERS.slice(0, 4))("[DA4] end no earlier than they really do, where key frames are regular: %s", (_, encoder) => {
    const { video, audio } = encode(encoder);
    const track = { ...AUDIO, sample_rate: encoder.sampleRate };
    for (let count = 3; count < Math.min(video.length, audio.length); count++) {
      const expected = expectSegments(video.slice(0, count));
      const expectedAudio = expectAudioSegments(audio.slice(0, count), track, endsOf(video.slice(0, count), expected));
      const [late, lateAudio] = [expected, expectedAudio].map(
        ([next], kind) => end(next as TimedSegment["time"]) - end(((kind === 0 ? video : audio)[count] as TimedSegment).time),
      );
      expect(late).toBeGreaterThan(-SAFETY);
      expect(late).toBeLessThan(SAFETY);
      expect(lateAudio).toBeGreaterThan(-SAFETY);
      expect(lateAudio).toBeLessThan(1024 / encoder.sampleRate + SAFETY);
    }
  });

  it("[DA4] are not announced where key frames are odd", () => {
    const { video } = encode({ fps: 30, sampleRate: 48000, keyFrames: 60 });
    const odd = video.slice(0, 5).map((one, index) => (index === 3 ? { ...one, time: { ...one.time, duration: 150_000 } } : one));
    expect(expectSegments(odd)).toEqual([]);
    // The cadence is trusted again when three agree.
    const after = [...odd, ...video.slice(5, 7)];
    expect(expectSegments(after.slice(0, 6))).toEqual([]);
    expect(expectSegments(after).length).toBe(2);
    expect(expectSegments([])).toEqual([]);
    expect(expectAudioSegments([], AUDIO, new Map())).toEqual([]);
  });

  it("[DA4] are counted in the frames of HE-AAC, which are twice as long", () => {
    const segment = { ...(encode({ fps: 30, sampleRate: 48000, keyFrames: 60 }).audio[0] as TimedSegment) };
    const listed = [{ ...segment, time: { start: 0, duration: 47 * 2048, timescale: 48000 } }];
    const expected = expectAudioSegments(listed, { ...AUDIO, codec: "mp4a.40.5" }, new Map([[2, 4]]));
    expect(expected).toEqual([{ start: 47 * 2048, duration: 47 * 2048, timescale: 48000 }]);
  });

  it("[DA4] are no more than the edge can hold a request for, also where the audio lags", () => {
    const { video, audio } = encode({ fps: 30, sampleRate: 48000, keyFrames: 60 });
    const ends = endsOf(video.slice(0, 9), expectSegments(video.slice(0, 9)));
    expect(expectAudioSegments(audio.slice(0, 8), AUDIO, ends).length).toBe(2);
    expect(expectAudioSegments(audio.slice(0, 10), AUDIO, ends).length).toBe(1);
    expect(expectAudioSegments(audio.slice(0, 4), AUDIO, ends)).toEqual([]);
  });
});
