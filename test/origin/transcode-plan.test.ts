import { describe, expect, it } from "vitest";
import { encoderArguments } from "../../origin/transcode/encoders.ts";
import { computeLevel } from "../../origin/transcode/level.ts";
import { type Plan, type PlanInput, planRenditions } from "../../origin/transcode/plan.ts";

type Video = NonNullable<PlanInput["video"]>;
type Audio = NonNullable<PlanInput["audio"]>;

const MAX_PIXELS = 4096 * 2304;
const VIDEO: Video = { codec: "H.264", width: 1920, height: 1080, frameRate: 30, bitrate: 12e6, keyInterval: 2 };
const AUDIO: Audio = { codec: "AAC", sampleRate: 48000, channels: 2, objectType: 2, bitrate: 128_000 };

function plan(
  profile: Parameters<typeof planRenditions>[0],
  video: Partial<Video> | null,
  audio: Partial<Audio> | null = {},
  without: string[] = [],
): Plan {
  const input = { video: video === null ? null : { ...VIDEO, ...video }, audio: audio === null ? null : { ...AUDIO, ...audio } };
  const result = planRenditions(profile, input, { maxPixels: MAX_PIXELS, without });
  if ("refusal" in result) throw new Error(result.refusal);
  return result;
}

const sizes = (result: Plan) => result.rungs.map(({ name, width, height }) => `${name} ${width}x${height}`);

describe("plan", () => {
  it("carries on everything in a passthrough, and encodes nothing but audio that browsers do not play", () => {
    const all = { copy: "source", rungs: [], keyFrames: "source", audio: "copy" };
    expect(plan("passthrough", {})).toEqual(all);
    expect(plan("passthrough_any", { codec: "HEVC", keyInterval: null }, { channels: 6, bitrate: 512_000 })).toEqual(all);
    expect(plan("passthrough", {}, { codec: "MP3", objectType: null })).toEqual({ ...all, audio: "transcode" });
    expect(plan("passthrough", {}, { objectType: 1 })).toEqual({ ...all, audio: "transcode" });
    expect(plan("passthrough", {}, null)).toEqual({ ...all, audio: null });
    expect(plan("ladder", null)).toEqual({ ...all, copy: null });
  });

  it("makes the rungs that the input has the height for, none of them scaled up", () => {
    expect(sizes(plan("ladder", {}))).toEqual(["1080p 1920x1080", "720p 1280x720", "480p 854x480"]);
    expect(sizes(plan("ladder", { width: 3840, height: 2160 }))).toEqual(["1080p 1920x1080", "720p 1280x720", "480p 854x480"]);
    expect(sizes(plan("ladder", { width: 1600, height: 900 }))).toEqual(["720p 1280x720", "480p 854x480"]);
    expect(sizes(plan("ladder", { width: 1279, height: 719 }))).toEqual(["480p 854x480"]);
    expect(plan("ladder", {}).rungs.map(({ bitrate, maxBitrate }) => [bitrate, maxBitrate])).toEqual([
      [8_000_000, 8_560_000],
      [5_000_000, 5_350_000],
      [2_000_000, 2_140_000],
    ]);
  });

  it("keeps the picture's shape, upright and odd ones too", () => {
    expect(sizes(plan("ladder", { width: 1080, height: 1920 }))).toEqual(["1080p 1080x1920", "720p 720x1280", "480p 480x854"]);
    expect(sizes(plan("ladder", { width: 1440, height: 1080 }))).toEqual(["1080p 1440x1080", "720p 960x720", "480p 640x480"]);
    expect(sizes(plan("ladder", { width: 721, height: 721 }))).toEqual(["720p 720x720", "480p 480x480"]);
    expect(sizes(plan("ladder", { width: 2560, height: 1081 }))).toEqual(["1080p 2558x1080", "720p 1706x720", "480p 1136x480"]);
  });

  it("gives an input below every rung one of its own size, with its share of the bitrate", () => {
    const [rung, ...others] = plan("ladder", { width: 641, height: 361 }).rungs;
    expect(others).toEqual([]);
    expect(rung).toMatchObject({ name: "480p", width: 640, height: 360 });
    expect(rung?.bitrate).toBeCloseTo(2_000_000 * (360 / 480) ** 2, -4);
    expect(plan("ladder", { width: 64, height: 36 }).rungs[0]?.bitrate).toBe(200_000);
    expect(plan("ladder_source", { width: 640, height: 360 })).toMatchObject({ copy: "source", rungs: [] });
  });

  it("keeps the frame rate up to 60", () => {
    const rates = [24, 59.94, 60, 60.2, 75, 120, null].map((frameRate) => plan("ladder", { frameRate }).rungs[0]?.frameRate);
    expect(rates).toEqual([null, null, null, null, 60, 60, null]);
  });

  it("carries the top rung on where the input is within its bounds, and cuts the others where it has its key frames", () => {
    const like = { bitrate: 8_000_000 };
    expect(plan("ladder", like)).toMatchObject({ copy: "1080p", keyFrames: "source" });
    expect(sizes(plan("ladder", like))).toEqual(["720p 1280x720", "480p 854x480"]);
    expect(plan("ladder", { ...like, width: 1280, height: 720, bitrate: 5e6 })).toMatchObject({ copy: "720p", rungs: [{ name: "480p" }] });
    for (const unlike of [
      { bitrate: 8_600_000 },
      { bitrate: null },
      { height: 1088 },
      { frameRate: 75 },
      { frameRate: null },
      { keyInterval: 4 },
      { keyInterval: null },
    ]) {
      expect(plan("ladder", { ...like, ...unlike })).toMatchObject({ copy: null, keyFrames: "forced", rungs: [{ name: "1080p" }, {}, {}] });
    }
  });

  it("offers the source beside the rungs, but not the same twice", () => {
    expect(plan("ladder_source", {})).toMatchObject({ copy: "source", keyFrames: "source", rungs: [{ name: "1080p" }, {}, {}] });
    expect(plan("ladder_source", { bitrate: 6e6 })).toMatchObject({ copy: "source", rungs: [{ name: "720p" }, { name: "480p" }] });
  });

  it("leaves out what the machine cannot afford, but never the last rendition", () => {
    expect(sizes(plan("ladder", {}, {}, ["1080p"]))).toEqual(["720p 1280x720", "480p 854x480"]);
    expect(sizes(plan("ladder", {}, {}, ["1080p", "720p", "480p"]))).toEqual(["480p 854x480"]);
    expect(plan("ladder_source", {}, {}, ["1080p", "720p", "480p"])).toMatchObject({ copy: "source", rungs: [] });
    expect(plan("ladder", { bitrate: 8e6 }, {}, ["1080p", "720p"])).toMatchObject({ copy: "1080p", rungs: [{ name: "480p" }] });
  });

  it("makes a ladder's audio anew where it is more than the profile allows, or does not say how much it is", () => {
    const audio = (given: Partial<Audio>) => plan("ladder", {}, given).audio;
    expect([{}, { bitrate: 96_000 }, { bitrate: 138_000, objectType: 5 }, { bitrate: 64_000, channels: 1 }].map(audio)).toEqual(
      Array<string>(4).fill("copy"),
    );
    expect([{ bitrate: 160_000 }, { bitrate: null }, { channels: 6 }, { objectType: 4 }, { codec: "MP3" as const }].map(audio)).toEqual(
      Array<string>(5).fill("transcode"),
    );
  });

  it("refuses in words what the profile does not take", () => {
    const options = { maxPixels: MAX_PIXELS };
    const refusal = (profile: Parameters<typeof planRenditions>[0], video: Video) =>
      planRenditions(profile, { video, audio: null }, options);
    expect(refusal("ladder", { ...VIDEO, codec: "HEVC" })).toEqual({
      refusal: "HEVC video is not supported by this stream's profile (ladder): set the encoder to H.264",
    });
    expect(refusal("passthrough", { ...VIDEO, codec: "AV1" })).toEqual({ refusal: expect.stringContaining("profile to passthrough_any") });
    expect(refusal("passthrough_any", { ...VIDEO, width: 7680, height: 4320 })).toEqual({ refusal: expect.stringContaining("7680×4320") });
    expect(refusal("ladder", { ...VIDEO, width: 8 })).toEqual({ refusal: expect.stringContaining("too small") });
    expect(planRenditions("ladder", { video: null, audio: null }, options)).toEqual({ refusal: expect.stringContaining("neither") });
  });
});

describe("encoders", () => {
  const rung = { name: "720p", width: 1280, height: 720, bitrate: 5e6, maxBitrate: 5.35e6, frameRate: null };
  const timing = { keyFrames: "source", elapsed: 0, notBefore: null } as const;

  it("asks every encoder for the same rung: its size and bitrates, no B-frames, no key frames but those that are forced, as IDRs", () => {
    for (const encoder of ["x264", "nvenc", "vaapi", "qsv"] as const) {
      const options = encoderArguments(encoder, rung, timing);
      const value = (name: string) => options[options.indexOf(name) + 1];
      expect(value("-vf")).toMatch(/1280:(h=)?720/);
      expect([value("-b:v"), value("-maxrate"), value("-bf"), value("-force_key_frames")]).toEqual(["5000000", "5350000", "0", "source"]);
      expect(Number(value("-g"))).toBeGreaterThan(10_000);
      if (encoder !== "vaapi") expect([value("-forced-idr"), value("-forced_idr")]).toContain("1");
    }
  });

  it("names the lowest level that holds the video", () => {
    const level = (width: number, height: number, frameRate: number) => computeLevel(width, height, frameRate, 8_560_000);
    expect([level(854, 480, 30), level(1280, 720, 30), level(1280, 720, 60), level(1920, 1080, 30), level(1080, 1920, 60)]).toEqual([
      "3.1",
      "3.1",
      "3.2",
      "4.0",
      "4.2",
    ]);
    expect(level(3840, 2160, 60)).toBe("5.2");
  });
});
