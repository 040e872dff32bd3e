import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { encodeSilentMp3, parseMp3Header, samplesOfMp3 } from "../../origin/transcode/mp3.ts";
import { syntheticTags } from "../fakes/media/synthetic-tags.ts";
import { feed, Output, openPipeline } from "./pipeline-run.ts";

const run = promisify(execFile);
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "nova-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

it.each([
  [44_100, 2],
  [48_000, 1],
  [32_000, 2],
  [22_050, 1],
])("silence at %i Hz with %i channels is what a decoder takes for it", async (sampleRate, channels) => {
  const frame = encodeSilentMp3(sampleRate, channels);
  if (frame === null) throw new Error("no frame");
  expect(parseMp3Header(frame)).toEqual({ sampleRate, channels });
  const path = join(directory, "silence.mp3");
  await writeFile(path, Buffer.concat(Array<Buffer>(50).fill(frame)));
  const { stdout, stderr } = await run("ffmpeg", ["-v", "warning", "-f", "mp3", "-i", path, "-f", "s16le", "-"], { encoding: "buffer" });
  expect(stderr.toString()).not.toMatch(/invalid|error/i);
  expect(stdout.every((byte) => byte === 0)).toBe(true);
  expect(Math.abs(stdout.length / (2 * channels) - 50 * samplesOfMp3(sampleRate))).toBeLessThan(3 * samplesOfMp3(sampleRate));
});

it("[PL12] MP3 that stops becomes silence beside video that goes on: no segment is missing", async () => {
  const output = new Output();
  const pipeline = openPipeline(output, directory);
  const tags = syntheticTags({ seconds: 9, audio: { codec: "MP3", sampleRate: 44_100, channels: 2 } });
  const kept = tags.filter(({ type, timestamp }) => type !== 8 || timestamp < 3000);
  const names = { 8: "audio", 9: "video", 18: "script" } as const;
  feed(
    pipeline,
    kept.map(({ type, timestamp, data }) => ({ type: names[type as 8 | 9 | 18], timestamp, data, raw: data })),
  );
  await pipeline.end(5000);
  expect(output.failures).toEqual([]);
  expect(output.gaps).toEqual([]);
  const numbers = (rendition: string) => output.segments.filter((segment) => segment.rendition === rendition).map(({ msn }) => msn);
  expect(numbers("audio")).toEqual(numbers("source"));
  expect(output.warnings).toContain("the encoder's audio has stopped: silence takes its place");
});
