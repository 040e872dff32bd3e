/// <reference lib="dom" />
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import { ROOT } from "../../scripts/local/build.ts";
import { launchBrowser } from "../e2e/browser.ts";
import { CLOCK_LAYOUT, startClockSource } from "./rig/clock-source.ts";
import { type Bench, type BenchRun, percentile, scoped } from "./rig/figure.ts";
import { startNginxRtmp } from "./rig/nginx-rtmp.ts";
import { startPlatform } from "./rig/platform.ts";

const FPS = 30;
const WARM_UP_MS = 12_000;

/** Glass to glass: from the moment a frame is drawn to the moment Chromium shows it, read from a clock in the picture; the same for nginx-rtmp with hls.js. */
export const bench: Bench = async (args, run) => {
  const { values } = parseArgs({ args, options: { seconds: { type: "string", default: "60" } } });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 10) throw new Error("--seconds takes a whole number from 10");
  await scoped(run, (scope) => benchNova(seconds, scope));
  await scoped(run, (scope) => benchNginx(seconds, scope));
};

async function benchNova(seconds: number, run: BenchRun): Promise<void> {
  const platform = await startPlatform(run.cleanup, run.say);
  const stream = await platform.createStream("Latency");
  startClockSource(`rtmp://127.0.0.1:${platform.rtmpPort}/live/${stream.stream_key}`, FPS, run.cleanup);
  await sleep(4_000);
  const page = await openPage(run);
  await page.goto(`${platform.site}/watch/${stream.id}`);
  await report(run, "nova", page, seconds);
}

async function benchNginx(seconds: number, run: BenchRun): Promise<void> {
  const nginx = await startNginxRtmp(run.cleanup, run.say);
  startClockSource(`rtmp://127.0.0.1:${nginx.rtmpPort}/live/clock`, FPS, run.cleanup);
  await sleep(8_000);
  const page = await openPage(run);
  const script = readFileSync(join(ROOT, "node_modules", "hls.js", "dist", "hls.min.js"), "utf8");
  const html = `<!doctype html><video muted autoplay playsinline></video><script>${script}</script>
    <script>const hls = new Hls(); hls.loadSource("/clock.m3u8"); hls.attachMedia(document.querySelector("video"));</script>`;
  await page.route(`${nginx.site}/watch`, (route) => route.fulfill({ contentType: "text/html", body: html }));
  await page.goto(`${nginx.site}/watch`);
  await report(run, "nginx-rtmp", page, seconds);
}

async function openPage(run: BenchRun): Promise<Page> {
  const browser = await launchBrowser();
  run.cleanup.add(() => browser.close());
  return browser.newPage({ viewport: { width: 800, height: 600 } });
}

async function report(run: BenchRun, subject: string, page: Page, seconds: number): Promise<void> {
  run.say(`${subject}: warming up, then measuring for ${seconds} s…`);
  await sleep(WARM_UP_MS);
  const { delays, unreadable, stalls } = await measure(page, seconds);
  if (delays.length < seconds * FPS * 0.5)
    throw new Error(`${subject}: only ${delays.length} frames were read, ${unreadable} were not readable`);
  const emit = (metric: string, value: number, unit: "s" | "parts") =>
    run.emit({ bench: "latency", subject, metric, value: Math.round(value * 1000) / 1000, unit, n: delays.length });
  emit("p50", percentile(delays, 0.5), "s");
  emit("p95", percentile(delays, 0.95), "s");
  emit("stalls", stalls, "parts");
}

/** Reads the clock of every frame that the page's video shows. */
function measure(page: Page, seconds: number): Promise<{ delays: number[]; unreadable: number; stalls: number }> {
  return page.evaluate(
    async ({ layout, duration }) => {
      const { clockBits, checkBits, columns, block, width, height } = layout;
      const video = document.querySelector("video") as HTMLVideoElement;
      const canvas = new OffscreenCanvas(columns * block, Math.ceil((clockBits + checkBits) / columns) * block);
      const context = canvas.getContext("2d", { willReadFrequently: true }) as OffscreenCanvasRenderingContext2D;
      const result = { delays: [] as number[], unreadable: 0, stalls: 0 };
      const readBits = (from: number, count: number, pixels: Uint8ClampedArray) => {
        let value = 0;
        for (let index = from; index < from + count; index++) {
          const x = (index % columns) * block + block / 2;
          const y = Math.floor(index / columns) * block + block / 2;
          value = value * 2 + ((pixels[(y * canvas.width + x) * 4] as number) > 128 ? 1 : 0);
        }
        return value;
      };
      video.addEventListener("waiting", () => (result.stalls += 1));
      const until = performance.now() + duration * 1000;
      await new Promise<void>((resolve) => {
        const look = (_now: number, frame: { expectedDisplayTime: number }) => {
          const shownAt = performance.timeOrigin + frame.expectedDisplayTime;
          context.drawImage(
            video,
            0,
            0,
            (video.videoWidth * canvas.width) / width,
            (video.videoHeight * canvas.height) / height,
            0,
            0,
            canvas.width,
            canvas.height,
          );
          const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
          const clock = readBits(0, clockBits, data);
          const check = (clock ^ (clock >>> 8) ^ (clock >>> 16) ^ (clock >>> 24)) & 255;
          if (check === readBits(clockBits, checkBits, data)) result.delays.push(((shownAt % 2 ** clockBits) - clock) / 1000);
          else result.unreadable += 1;
          if (performance.now() < until) video.requestVideoFrameCallback(look);
          else resolve();
        };
        video.requestVideoFrameCallback(look);
        setTimeout(resolve, duration * 1000 + 5_000);
      });
      return result;
    },
    { layout: CLOCK_LAYOUT, duration: seconds },
  );
}
