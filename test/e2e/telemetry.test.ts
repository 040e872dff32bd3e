import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { Beacon } from "../../domain/protocol/beacon.ts";
import { PlaybackFrame } from "../../domain/protocol/events.ts";
import { type Encoder, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";
import { launchBrowser, look, watch } from "./browser.ts";

let platform: Platform;
let browser: Browser;
let page: Page | null = null;
let encoder: Encoder | null = null;
const soon = { timeout: 20_000, interval: 100 };

beforeAll(async () => {
  [platform, browser] = await Promise.all([startPlatform(), launchBrowser()]);
});
afterEach(async () => {
  await page?.context().close();
  await encoder?.crash();
});
afterAll(async () => {
  await browser.close();
  await platform.stop();
});

it("a watch page tells its socket how it plays, and the statistics what its viewer went through", async () => {
  const { id, stream_key } = await platform.createStream();
  encoder = startEncoder(platform.rtmpPort, stream_key);
  await expect.poll(async () => (await platform.getStream(id)).status, soon).toBe("active");
  page = await watch(browser, "about:blank");
  const sent: string[] = [];
  const closed: string[] = [];
  const beacons: { body: string | null; status: number }[] = [];
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => void sent.push(String(payload)));
    socket.on("close", () => void closed.push(socket.url()));
  });
  page.on("response", (answer) => {
    if (answer.url().endsWith("/beacon")) beacons.push({ body: answer.request().postData(), status: answer.status() });
  });
  await page.goto(`${platform.site}/watch/${id}`);
  await expect.poll(async () => (await look(page as Page)).player, soon).toBe("playing");

  const reports = () => sent.filter((text) => text.includes('"playback"'));
  await expect.poll(reports, soon).not.toEqual([]);
  const report = PlaybackFrame.parse(JSON.parse(reports()[0] as string));
  expect(report).toMatchObject({ type: "playback", stalls: 0, switches: 0 });
  expect(report.rendition).toMatch(/^[a-z0-9]+$/);
  expect(report.rendition).not.toBe("auto");
  expect(report.buffered_ms).toBeGreaterThan(100);
  expect(report.latency_ms).toBeGreaterThan(200);
  expect(report.latency_ms).toBeLessThan(8_000);
  expect(beacons).toEqual([]);

  await page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden" });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await expect.poll(() => beacons.length, soon).toBe(1);
  const beacon = Beacon.parse(JSON.parse(beacons[0]?.body ?? ""));
  const [startup] = beacon.events;
  expect(startup).toMatchObject({ type: "startup", rendition: report.rendition });
  expect(beacons[0]?.status).toBe(204);
  expect(closed).toEqual([]);
});
