import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../scripts/local/build.ts";
import { type Encoder, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";
import { launchBrowser } from "./browser.ts";

const DASH_JS = readFileSync(join(ROOT, "node_modules", "dashjs", "dist", "modern", "umd", "dash.all.min.js"), "utf8");
const soon = { timeout: 20_000, interval: 100 };
/** dash.js takes its time to jump over the hole that a reconnect leaves. */
const patient = { timeout: 45_000, interval: 100 };

let platform: Platform;
let browser: Browser;
const encoders: Encoder[] = [];

beforeAll(async () => {
  [platform, browser] = await Promise.all([startPlatform(), launchBrowser()]);
});
afterEach(async () => {
  await Promise.all(encoders.splice(0).map((encoder) => encoder.crash()));
});
afterAll(async () => {
  await browser.close();
  await platform.stop();
});

function encode(key: string): Encoder {
  const encoder = startEncoder(platform.rtmpPort, key, { gopSeconds: 2 });
  encoders.push(encoder);
  return encoder;
}

/** A page of its own with dash.js as it comes, playing one stream. Collects refused media. */
async function play(id: string): Promise<{ page: Page; refused: string[] }> {
  const page = await browser.newPage();
  const refused: string[] = [];
  page.on("response", (answer) => {
    if (answer.status() >= 400 && answer.url().includes(id)) refused.push(`${answer.status()} ${answer.url()}`);
  });
  const html = `<!doctype html><video muted playsinline></video><script src="/dash.js"></script><script>
    window.player = dashjs.MediaPlayer().create();
    player.initialize(document.querySelector("video"), "/dash/${id}/manifest.mpd", true);
  </script>`;
  await page.route(`${platform.site}/dash.js`, (route) => route.fulfill({ contentType: "text/javascript", body: DASH_JS }));
  await page.route(`${platform.site}/player`, (route) => route.fulfill({ contentType: "text/html", body: html }));
  await page.goto(`${platform.site}/player`);
  return { page, refused };
}

/** What the player is at. */
function look(page: Page) {
  return page.evaluate(() => {
    const video = document.querySelector("video") as HTMLVideoElement;
    const { player } = window as unknown as { player: { getCurrentLiveLatency(): number; getActiveStream(): { getId(): string } | null } };
    return {
      time: video.currentTime,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      period: player.getActiveStream()?.getId(),
      latency: player.getCurrentLiveLatency(),
      ended: video.ended,
    };
  });
}

async function manifest(id: string): Promise<string> {
  return (await fetch(`${platform.site}/dash/${id}/manifest.mpd`, { signal: AbortSignal.timeout(5000) })).text();
}

describe("dash.js", () => {
  // dash.js itself was seen to stand still after the change of period, once in some thirty runs on a busy machine.
  it("[DA1] [DA3] [DA4] [DA5] plays a few seconds behind the camera, through a reconnect, to the end", { retry: 1 }, async () => {
    const { id, stream_key } = await platform.createStream();
    const first = encode(stream_key);
    await expect.poll(async () => (await fetch(`${platform.site}/dash/${id}/manifest.mpd`)).status, soon).toBe(200);
    const { page, refused } = await play(id);
    await expect.poll(async () => (await look(page)).frames, soon).toBeGreaterThan(60);
    const before = await look(page);
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const after = await look(page);
    expect(after.time - before.time).toBeGreaterThan(4.5);
    expect(after.latency).toBeGreaterThan(1.5);
    expect(after.latency).toBeLessThan(4);
    expect(refused).toEqual([]);

    await first.crash();
    const second = encode(stream_key);
    await expect.poll(async () => (await look(page)).period, patient).toBe("2");
    const resumed = await look(page);
    await expect.poll(async () => (await look(page)).frames, patient).toBeGreaterThan(resumed.frames + 60);
    expect(await manifest(id)).toMatch(/<Period id="1" start="PT0S">[\s\S]*<Period id="2" start="PT[\d.]+S">/);

    await second.stop();
    await expect.poll(async () => (await look(page)).ended, patient).toBe(true);
    expect(await manifest(id)).toMatch(/type="static" mediaPresentationDuration="PT[\d.]+S"/);
    await page.close();
  });
});

describe("ffmpeg's reader", () => {
  it("[DA2] reads a live stream, and finds every frame of a recording", async () => {
    const { id, stream_key } = await platform.createStream({ record: true });
    const encoder = encode(stream_key);
    const url = `${platform.site}/dash/${id}/manifest.mpd`;
    await expect.poll(async () => (await fetch(url)).status, soon).toBe(200);
    const live = await probe(["-read_intervals", "%+3", url]);
    expect(live.map((stream) => stream.codec_name).sort()).toEqual(["aac", "h264"]);
    expect(live.find((stream) => stream.codec_name === "h264")?.nb_read_packets).toBeGreaterThan(60);
    await encoder.stop();
    await expect.poll(() => manifest(id), soon).toContain('type="static"');
    // One track at a time: of several, ffmpeg's reader stops with the one that ends first.
    for (const track of ["v", "a"]) {
      const [hls] = await probe(["-select_streams", track, `${platform.site}/hls/${id}/index.m3u8`]);
      const [dash] = await probe(["-select_streams", track, url]);
      expect(dash?.nb_read_packets).toBeGreaterThan(60);
      expect(dash).toEqual(hls);
    }
  });
});

interface Probed {
  codec_name: string;
  nb_read_packets: number;
}

async function probe(args: string[]): Promise<Probed[]> {
  const entries = ["-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets", "-of", "json"];
  const { stdout, stderr } = await promisify(execFile)("ffprobe", [...entries, ...args], { timeout: 40_000 });
  expect(stderr).toBe("");
  const { streams } = JSON.parse(stdout) as { streams: { codec_name: string; nb_read_packets: string }[] };
  return streams.map(({ codec_name, nb_read_packets }) => ({ codec_name, nb_read_packets: Number(nb_read_packets) }));
}
