import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeChunk } from "../../origin/package/chunk.ts";
import type { AudioInit, VideoInit } from "../../origin/package/init.ts";
import type { Sample } from "../../origin/package/sample.ts";
import { checkEncoder } from "../../origin/transcode/encoders.ts";
import { FlvReader, type FlvTag } from "../../origin/transcode/flv.ts";
import { GopCache } from "../../origin/transcode/gop-cache.ts";
import type { PlannedRung } from "../../origin/transcode/plan.ts";
import { Transcoder } from "../../origin/transcode/transcoder.ts";

const run = promisify(execFile);
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const RUNGS: PlannedRung[] = [
  { name: "180p", width: 320, height: 180, bitrate: 300_000, maxBitrate: 330_000, frameRate: null },
  { name: "120p", width: 214, height: 120, bitrate: 200_000, maxBitrate: 220_000, frameRate: null },
  { name: "90p", width: 160, height: 90, bitrate: 100_000, maxBitrate: 110_000, frameRate: null },
];
/** Where the connection's clock begins. */
const CLOCK_MS = 100_000;

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "nova-"));
  const x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-sc_threshold", "0", "-bf", "2", "-x264-params", "b-adapt=0"];
  const picture = (rate: number) => ["-f", "lavfi", "-i", `testsrc2=s=320x180:r=${rate}`];
  // A tone that begins after 3 s.
  const sound = ["-f", "lavfi", "-i", "aevalsrc=gte(t\\,3)*0.5*sin(1000*2*PI*t):s=48000"];
  await Promise.all([
    encode("aac.flv", [...picture(30), ...sound, "-t", "7", ...x264, "-g", "50", "-c:a", "aac", "-b:a", "192k"]),
    encode("mp3.flv", [...picture(30), ...sound, "-t", "4", ...x264, "-g", "60", "-c:a", "libmp3lame", "-ar", "44100"]),
    encode("fast.flv", [...picture(120), "-t", "3", ...x264, "-g", "117"]),
  ]);
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function encode(name: string, options: string[]): Promise<void> {
  await run("ffmpeg", ["-v", "error", ...options, "-f", "flv", join(directory, name)], { timeout: 30_000 });
}

/** One recording, and everything that a transcoder makes of it. */
class Transcode {
  readonly tags: FlvTag[];
  readonly inits = new Map<string, VideoInit | AudioInit>();
  readonly samples = new Map<string, Sample[]>();
  readonly failures: string[] = [];
  restarts = 0;
  readonly transcoder: Transcoder;

  private constructor(tags: FlvTag[], options: Partial<ConstructorParameters<typeof Transcoder>[0]>) {
    this.tags = tags.filter(({ type, data }) => (type === "video" ? data[1] === 1 : type === "audio" && !(isAac(data) && data[1] === 0)));
    const config = (type: string) =>
      tags.find((tag) => tag.type === type && tag.data[1] === 0 && (type === "video" || isAac(tag.data)))?.data;
    const audio = config("audio");
    this.transcoder = new Transcoder(
      {
        input: {
          video: { config: config("video")?.subarray(5) ?? Buffer.alloc(0) },
          audio: audio === undefined ? { codec: "MP3", config: null } : { codec: "AAC", config: audio.subarray(2) },
        },
        rungs: RUNGS,
        keyFrames: "source",
        audio: true,
        encoder: "x264",
        renderDevice: "/dev/dri/renderD128",
        runDirectory: directory,
        log,
        ...options,
      },
      {
        onInit: (rendition, init) => {
          expect(this.inits.has(rendition)).toBe(false);
          this.inits.set(rendition, init);
        },
        onSample: (rendition, sample) => {
          expect(this.inits.has(rendition)).toBe(true);
          this.samples.set(rendition, [...(this.samples.get(rendition) ?? []), sample]);
        },
        onRestart: () => {
          this.restarts += 1;
        },
        onFailure: (message) => this.failures.push(message),
      },
    );
  }

  static async open(name: string, options: Partial<ConstructorParameters<typeof Transcoder>[0]> = {}): Promise<Transcode> {
    return new Transcode(new FlvReader().push(await readFile(join(directory, name))), options);
  }

  write(tag: FlvTag): boolean {
    return this.transcoder.write(tag.type === "audio" ? "audio" : "video", tag.timestamp + CLOCK_MS, tag.data, isKey(tag));
  }

  /** FFmpeg's, once it runs. */
  async pid(): Promise<number> {
    for (let waited = 0; waited < 10_000; waited += 10) {
      if (this.transcoder.pid !== null) return this.transcoder.pid;
      await sleep(10);
    }
    throw new Error("FFmpeg does not run");
  }

  /** As fast as it can be taken. */
  async feed(tags = this.tags): Promise<void> {
    for (const tag of tags) if (!this.write(tag)) await this.transcoder.drain();
  }

  /** As an encoder would send it, `speed` times as fast. */
  async pace(speed: number, each: (timestamp: number) => void): Promise<void> {
    const start = performance.now();
    for (const tag of this.tags) {
      const wait = tag.timestamp / speed - (performance.now() - start);
      if (wait > 1) await sleep(wait);
      each(tag.timestamp);
      this.write(tag);
    }
  }

  /** Presentation times of the input's pictures, or of its key frames, milliseconds on the connection's clock. */
  pictures(only: (tag: FlvTag) => boolean = () => true): number[] {
    const shown = this.tags
      .filter((tag) => tag.type === "video" && only(tag))
      .map((tag) => tag.timestamp + tag.data.readIntBE(2, 3) + CLOCK_MS);
    return shown.sort((a, b) => a - b);
  }

  /** Presentation times that came out, milliseconds. */
  times(rung: string, only: (sample: Sample) => boolean = () => true): number[] {
    return (this.samples.get(rung) ?? []).filter(only).map((sample) => (sample.dts + sample.compositionOffset) / 90);
  }

  /** Init and samples of a rendition as a file. */
  async file(rendition: string): Promise<string> {
    const init = this.inits.get(rendition);
    if (init === undefined) throw new Error(`${rendition} did not begin`);
    const chunks = (this.samples.get(rendition) ?? []).map((sample, index) =>
      encodeChunk({ sequenceNumber: index + 1, trackId: init.trackId, samples: [sample] }),
    );
    const path = join(directory, `${rendition}.mp4`);
    await writeFile(path, Buffer.concat([init.bytes, ...chunks]));
    return path;
  }

  /** Every rung has exactly these pictures and key frames, decodes without a complaint, and audio has no hole. */
  async expectWhole(pictures: number[], keys: number[]): Promise<void> {
    expect(this.failures).toEqual([]);
    for (const { name, width, height } of RUNGS) {
      expect(this.inits.get(name)).toMatchObject({ kind: "video", timescale: 90_000, width, height });
      expect(this.times(name)).toEqual(pictures);
      expect(this.times(name, (sample) => sample.key)).toEqual(keys);
      const { stderr } = await run("ffmpeg", ["-v", "warning", "-i", await this.file(name), "-f", "null", "-"]);
      expect(stderr).toBe("");
    }
    const audio = this.samples.get("audio") ?? [];
    expect(audio.length).toBeGreaterThan(100);
    for (const [index, sample] of audio.entries()) if (index > 0) expect(sample.dts).toBe((audio[index - 1]?.dts ?? 0) + 1024);
  }
}

function isAac(data: Buffer): boolean {
  return data.readUInt8(0) >> 4 === 10;
}

function isKey(tag: FlvTag): boolean {
  return tag.type === "video" && tag.data.readUInt8(0) >> 4 === 1;
}

/** When the tone begins in a file's audio, seconds on the file's clock. */
async function findOnset(path: string): Promise<number> {
  const decode = [
    "-v",
    "error",
    "-copyts",
    "-i",
    path,
    "-map",
    "0:a",
    "-af",
    "aresample=8000:async=1:first_pts=0",
    "-ac",
    "1",
    "-f",
    "s16le",
    "-",
  ];
  const { stdout } = await run("ffmpeg", decode, { encoding: "buffer", maxBuffer: 2 ** 26 });
  const samples = new Int16Array(stdout.buffer, stdout.byteOffset, stdout.byteLength >> 1);
  return samples.findIndex((level) => Math.abs(level) > 5000) / 8000;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("transcoder", () => {
  it("[CM3] makes rungs with the same frames and their key frames where the encoder has its own", async () => {
    const ladder = await Transcode.open("aac.flv");
    await ladder.feed();
    expect(ladder.transcoder.progress().lagMs).toBeGreaterThan(0);
    await ladder.transcoder.stop();
    await ladder.expectWhole(ladder.pictures(), ladder.pictures(isKey));
    expect(ladder.pictures(isKey)).toHaveLength(5);
    expect(await readdir(directory)).not.toContainEqual(expect.stringMatching(/^ff-/));
  });

  it("[CM3] goes on in every rung with the next frame where FFmpeg is killed, and keeps forced key frames on their grid", async () => {
    const ladder = await Transcode.open("aac.flv", { keyFrames: "forced" });
    const killed = new Set<number>();
    await ladder.pace(2, (timestamp) => {
      const { pid } = ladder.transcoder;
      for (const at of [2500, 4800]) {
        if (timestamp < at || killed.has(at) || pid === null) continue;
        killed.add(at);
        process.kill(pid, "SIGKILL");
      }
    });
    await ladder.transcoder.stop();
    expect(ladder.restarts).toBe(2);
    const pictures = ladder.pictures();
    const [first = 0] = pictures;
    const keys = ladder.times("180p", (sample) => sample.key);
    const grid = keys.filter((time) => Math.abs(((time - first + 1000) % 2000) - 1000) <= 5);
    expect(grid.map((time) => Math.round((time - first) / 2000))).toEqual([0, 1, 2, 3]);
    // Besides, one where each new FFmpeg began.
    expect(keys).toHaveLength(6);
    await ladder.expectWhole(pictures, keys);
  });

  it("finds an FFmpeg that is silent and takes another", async () => {
    const ladder = await Transcode.open("aac.flv");
    let stopped: number | null = null;
    await ladder.pace(1, (timestamp) => {
      const { pid } = ladder.transcoder;
      if (timestamp < 300 || stopped !== null || pid === null) return;
      stopped = pid;
      process.kill(pid, "SIGSTOP");
    });
    expect(ladder.restarts).toBe(1);
    expect(isRunning(stopped ?? 0)).toBe(false);
    await ladder.transcoder.stop();
    const began = ladder.times("180p", (sample) => sample.key).filter((time) => !ladder.pictures(isKey).includes(time));
    expect(began.length).toBeLessThanOrEqual(1);
    await ladder.expectWhole(
      ladder.pictures(),
      [...ladder.pictures(isKey), ...began].sort((a, b) => a - b),
    );
  });

  it("gives up in words where FFmpeg dies again and again", async () => {
    const ladder = await Transcode.open("aac.flv");
    await ladder.pace(2, () => {
      const { pid } = ladder.transcoder;
      if (pid !== null && isRunning(pid)) process.kill(pid, "SIGKILL");
    });
    expect(ladder.failures).toEqual([expect.stringContaining("FFmpeg failed 4 times")]);
    expect(ladder.transcoder.write("video", CLOCK_MS, Buffer.alloc(9), true)).toBe(true);
    await ladder.transcoder.drain();
  });

  it("lowers a frame rate over 60 without moving a picture, and keeps the encoder's key frames", async () => {
    const rungs = RUNGS.map((rung) => ({ ...rung, frameRate: 60 }));
    const ladder = await Transcode.open("fast.flv", { rungs, audio: false });
    await ladder.feed();
    await ladder.transcoder.stop();
    const times = ladder.times("180p");
    expect(times.filter((time) => !ladder.pictures().includes(time))).toEqual([]);
    expect(times.length).toBeGreaterThan(175);
    expect(times.length).toBeLessThan(190);
    for (const { name } of rungs) {
      expect(ladder.times(name)).toEqual(times);
      expect(ladder.times(name, (sample) => sample.key)).toEqual(ladder.pictures(isKey));
    }
  });

  for (const [name, rungs] of [
    ["aac.flv", RUNGS],
    ["mp3.flv", RUNGS],
    ["mp3.flv", []],
  ] as const) {
    it(`[CM2] makes AAC of ${name} on the same clock, ${rungs.length > 0 ? "beside rungs" : "alone"}`, async () => {
      const sound = await Transcode.open(name, { rungs });
      await sound.feed();
      await sound.transcoder.stop();
      expect(sound.failures).toEqual([]);
      expect(sound.inits.get("audio")).toMatchObject({
        kind: "audio",
        codec: "mp4a.40.2",
        timescale: name === "aac.flv" ? 48_000 : 44_100,
      });
      const offset = (await findOnset(await sound.file("audio"))) - CLOCK_MS / 1000 - (await findOnset(join(directory, name)));
      expect(Math.abs(offset)).toBeLessThan(0.005);
    });
  }

  it("[CM2] begins with silence where MP3 was announced and comes late", async () => {
    const ladder = await Transcode.open("mp3.flv");
    await ladder.feed(ladder.tags.filter((tag) => tag.type === "video" || tag.timestamp > 2500));
    await ladder.transcoder.stop();
    expect(ladder.failures).toEqual([]);
    expect(ladder.times("90p")).toEqual(ladder.pictures());
    const [first] = ladder.samples.get("audio") ?? [];
    expect(Math.abs((first?.dts ?? 0) / 44.1 - (ladder.pictures()[0] ?? 0))).toBeLessThan(100);
    const offset = (await findOnset(await ladder.file("audio"))) - CLOCK_MS / 1000 - (await findOnset(join(directory, "mp3.flv")));
    expect(Math.abs(offset)).toBeLessThan(0.005);
  });

  it("leaves whole GOPs out where FFmpeg does not keep up, and goes on in order", async () => {
    const ladder = await Transcode.open("aac.flv", { audio: false });
    await ladder.feed(ladder.tags.slice(0, 60));
    const pid = await ladder.pid();
    process.kill(pid, "SIGSTOP");
    const round = (ladder.tags.at(-1)?.timestamp ?? 0) + 33;
    const accepted: boolean[] = [];
    for (let repeat = 1; repeat <= 8; repeat++) {
      for (const tag of ladder.tags) accepted.push(ladder.write({ ...tag, timestamp: tag.timestamp + repeat * round }));
    }
    expect(accepted).toContain(false);
    expect(ladder.transcoder.skipped).toBeGreaterThan(100);
    expect(ladder.transcoder.progress().lagMs).toBeGreaterThan(10_000);
    process.kill(pid, "SIGCONT");
    await ladder.transcoder.stop();
    const times = ladder.times("180p");
    expect(times.at(-1)).toBe((ladder.pictures().at(-1) ?? 0) + 8 * round);
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
    expect(ladder.times("90p")).toEqual(times);
  });

  it("says in words why an encoder does not work, and nothing about one that does", async () => {
    expect(await checkEncoder("x264", "/dev/dri/renderD128")).toBeNull();
    expect(await checkEncoder("vaapi", "/dev/null")).toMatch(
      /^VIDEO_ENCODER=vaapi does not work on this machine: FFmpeg says ".+"; .*set x264$/,
    );
  });
});

describe("GOP cache", () => {
  const tag = (timestamp: number, startsGop: boolean, bytes = 1000) =>
    ({ type: "video", timestamp, body: Buffer.alloc(bytes), startsGop }) as const;
  const readAll = (cache: GopCache) => {
    const times: number[] = [];
    for (let next = cache.read(); next !== null; next = cache.read()) times.push(next.timestamp);
    return times;
  };

  it("is read again from the GOP that is not settled yet", () => {
    const cache = new GopCache();
    for (let time = 0; time < 100; time += 10) cache.push(tag(time, time % 40 === 0));
    expect(readAll(cache)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    cache.forget(79);
    cache.rewind();
    expect(cache.waitingBytes).toBe(6000);
    expect(readAll(cache)).toEqual([40, 50, 60, 70, 80, 90]);
  });

  it("holds 16 MiB, and begins with a key frame again after a GOP that was longer", () => {
    const cache = new GopCache();
    const mebibyte = 2 ** 20;
    for (let time = 0; time < 20; time++) {
      cache.push(tag(time, time === 0, mebibyte));
      expect(cache.waitingBytes).toBeLessThanOrEqual(16 * mebibyte);
    }
    expect(readAll(cache)).toEqual([]);
    cache.push(tag(20, true, mebibyte));
    for (let time = 21; time < 60; time++) {
      cache.push(tag(time, false, mebibyte));
      expect(cache.read()?.timestamp).toBe(time - 1);
    }
    expect(cache.list().reduce((sum, { body }) => sum + body.length, 0)).toBeLessThanOrEqual(17 * mebibyte);
    cache.rewind();
    expect(readAll(cache)).toEqual([]);
    cache.push(tag(60, false));
    cache.push(tag(61, true));
    expect(readAll(cache)).toEqual([61]);
  });
});
