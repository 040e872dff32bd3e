import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Encoder, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";
import { launchBrowser, look, watch } from "./browser.ts";

let platform: Platform;
let browser: Browser;
const encoders: Encoder[] = [];
const pages: Page[] = [];

function encode(key: string, options = {}): Encoder {
  const encoder = startEncoder(platform.rtmpPort, key, options);
  encoders.push(encoder);
  return encoder;
}

async function open(url: string): Promise<Page> {
  const { pathname, hash } = new URL(url, platform.site);
  const page = await watch(browser, platform.site + pathname + hash);
  pages.push(page);
  return page;
}

async function get(path: string): Promise<string> {
  const answer = await fetch(platform.site + path, { signal: AbortSignal.timeout(5000) });
  return answer.ok ? answer.text() : "";
}

const status = async (id: string) => (await platform.getStream(id)).status;
const soon = { timeout: 15_000, interval: 50 };

beforeAll(async () => {
  [platform, browser] = await Promise.all([startPlatform(), launchBrowser()]);
});
afterEach(async () => {
  await Promise.all(encoders.splice(0).map((encoder) => encoder.crash()));
  await Promise.all(pages.splice(0).map((page) => page.context().close()));
});
afterAll(async () => {
  await browser.close();
  await platform.stop();
});

describe("an encoder pushes, a browser watches", () => {
  it("plays without a stall: time goes on, frames are decoded, the state is live", async () => {
    const { id, stream_key, watch_url } = await platform.createStream({ title: "Frames & <tags>" });
    const page = await open(watch_url);
    await expect.poll(async () => (await look(page)).state, soon).toBe("waiting");
    encode(stream_key);
    await expect.poll(() => status(id), soon).toBe("active");
    await expect.poll(async () => (await look(page)).player, soon).toBe("playing");
    const before = await look(page);
    expect(before.state).toBe("live");
    await new Promise((resolve) => setTimeout(resolve, 6000));
    const after = await look(page);
    expect(after.currentTime - before.currentTime).toBeGreaterThan(5);
    expect(after.currentTime - before.currentTime).toBeLessThan(8);
    expect(after.frames - before.frames).toBeGreaterThan(5 * 30);
    expect(after).toMatchObject({ state: "live", player: "playing", stalls: before.stalls });
    expect(await page.title()).toContain("Frames & <tags>");
    expect(await page.textContent("body")).toContain("Frames & <tags>");
  });

  it("goes on in the player when the encoder drops and comes back, and ends when it stops", async () => {
    const { id, stream_key, watch_url } = await platform.createStream();
    const first = encode(stream_key);
    const page = await open(watch_url);
    await expect.poll(async () => (await look(page)).player, soon).toBe("playing");
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await first.crash();
    await expect.poll(async () => (await look(page)).state, { ...soon, timeout: 3000 }).toBe("reconnecting");
    expect(await status(id)).toBe("reconnecting");
    const beforeReturn = (await look(page)).frames;
    const second = encode(stream_key);
    await expect.poll(async () => (await look(page)).state, soon).toBe("live");
    await expect.poll(async () => (await look(page)).frames - beforeReturn, { ...soon, timeout: 25_000 }).toBeGreaterThan(150);
    expect(await get(`/hls/${id}/source/index.m3u8`)).toContain("#EXT-X-DISCONTINUITY\n");
    expect(await platform.getStream(id)).toMatchObject({ status: "active", broadcast: 1 });
    await second.stop();
    await expect.poll(async () => (await look(page)).state, { ...soon, timeout: 3000 }).toBe("ended");
    await expect.poll(() => get(`/hls/${id}/source/index.m3u8`), { ...soon, timeout: 2000 }).toContain("#EXT-X-ENDLIST");
    expect(await platform.getStream(id)).toMatchObject({ status: "completed", end_reason: "unpublished" });
  });

  it("counts five viewers, then four, on every page and in the API", async () => {
    const { id, stream_key, watch_url } = await platform.createStream();
    encode(stream_key);
    const viewers: Page[] = [];
    for (let i = 0; i < 5; i++) viewers.push(await open(watch_url));
    for (const viewer of viewers) await expect.poll(async () => (await look(viewer)).viewers, soon).toBe(5);
    expect(await platform.getStream(id)).toMatchObject({ viewer_count: 5, peak_viewers: 5 });
    await viewers[0]?.close();
    for (const viewer of viewers.slice(1)) await expect.poll(async () => (await look(viewer)).viewers, { ...soon, timeout: 2000 }).toBe(4);
    expect(await platform.getStream(id)).toMatchObject({ viewer_count: 4, peak_viewers: 5 });
    // A reload is not a new viewer.
    await viewers[1]?.reload();
    await expect.poll(async () => (await look(viewers[1] as Page)).viewers, soon).toBe(4);
    expect(await platform.getStream(id)).toMatchObject({ viewer_count: 4, peak_viewers: 5 });
  });

  it("offers what was recorded when it has ended, to who was there and to who comes later, and plays it from the start", async () => {
    const { id, stream_key, watch_url } = await platform.createStream({ record: true });
    const encoder = encode(stream_key);
    const there = await open(watch_url);
    await expect.poll(async () => (await look(there)).player, soon).toBe("playing");
    await new Promise((resolve) => setTimeout(resolve, 4000));
    await encoder.stop();
    await expect.poll(() => status(id), soon).toBe("completed");
    const offer = { name: "Watch the recording" };
    await there.getByRole("button", offer).waitFor({ timeout: 30_000 });
    const later = await open(watch_url);
    await later.getByRole("button", offer).waitFor({ timeout: 15_000 });
    expect(await look(later)).toMatchObject({ state: "ended", frames: 0 });
    await later.getByRole("button", offer).click();
    await expect.poll(async () => (await look(later)).player, soon).toBe("playing");
    expect((await look(later)).currentTime).toBeLessThan(2);
    await later.getByRole("button", { name: "Watch it again" }).waitFor({ timeout: 30_000 });
    expect((await look(later)).frames).toBeGreaterThan(4 * 30);
  });

  it("plays a signed stream with the link that the API made, and with no other", async () => {
    const { id, stream_key, watch_url } = await platform.createStream({ visibility: "signed" });
    encode(stream_key);
    await expect.poll(() => status(id), soon).toBe("active");
    const uninvited = await open(watch_url);
    await uninvited.getByText("This stream needs an invitation").waitFor({ timeout: 15_000 });
    const invitation = await fetch(`${platform.site}/api/v1/streams/${id}/playback-tokens`, {
      method: "POST",
      headers: { Authorization: "Bearer platform-admin-key", "Content-Type": "application/json" },
      body: "{}",
    });
    const { hash } = new URL(((await invitation.json()) as { watch_url: string }).watch_url);
    const stranger = await open(`${watch_url}${hash.slice(0, -8)}`);
    await stranger.getByText("Your access has expired").waitFor({ timeout: 15_000 });
    const invited = await open(`${watch_url}${hash}`);
    await expect.poll(async () => (await look(invited)).player, soon).toBe("playing");
    expect(await look(invited)).toMatchObject({ state: "live", viewers: 1 });
    expect(new URL(invited.url()).hash).toBe("");
  });

  it("says that there is no such stream for an address that is none", async () => {
    const page = await open("/watch/0123456789abcdefghjkmnpq");
    expect(await page.textContent("body")).toContain("No such stream");
  });
});

describe("the lifecycle in the API", () => {
  it("goes pending → active → completed, and ffprobe reads what is live", async () => {
    const { id, stream_key, playback } = await platform.createStream();
    expect(await status(id)).toBe("pending");
    const encoder = encode(stream_key);
    await expect.poll(() => status(id), soon).toBe("active");
    await expect.poll(() => get(`/hls/${id}/index.m3u8`), soon).toContain("#EXT-X-STREAM-INF");
    const { stdout } = await promisify(execFile)(
      "ffprobe",
      ["-v", "error", "-show_entries", "stream=codec_name,width,height,sample_rate", "-of", "json", playback.hls],
      { timeout: 20_000 },
    );
    const { streams } = JSON.parse(stdout) as { streams: object[] };
    expect(streams).toContainEqual(expect.objectContaining({ codec_name: "h264", width: 320, height: 180 }));
    expect(streams).toContainEqual(expect.objectContaining({ codec_name: "aac", sample_rate: "48000" }));
    await encoder.stop();
    await expect.poll(() => status(id), { ...soon, timeout: 2000 }).toBe("completed");
    // Publishing again reopens the stream with a new broadcast.
    encode(stream_key);
    await expect.poll(() => platform.getStream(id), soon).toMatchObject({ status: "active", broadcast: 2 });
  });

  it("decodes whole, from first to last segment, without an error", async () => {
    const { id, stream_key, playback } = await platform.createStream();
    const encoder = encode(stream_key, { seconds: 7 });
    expect(await encoder.exited).toBe(0);
    await expect.poll(() => get(`/hls/${id}/source/index.m3u8`), soon).toContain("#EXT-X-ENDLIST");
    const { stderr } = await promisify(execFile)("ffmpeg", ["-v", "warning", "-i", playback.hls, "-f", "null", "-"], { timeout: 30_000 });
    expect(stderr).toBe("");
    const { stdout } = await promisify(execFile)(
      "ffprobe",
      ["-v", "error", "-select_streams", "v", "-count_packets", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", playback.hls],
      { timeout: 30_000 },
    );
    expect(Number.parseInt(stdout, 10)).toBe(7 * 30);
  });
});
