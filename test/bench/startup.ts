import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { launchBrowser } from "../e2e/browser.ts";
import { type Bench, type BenchRun, percentile, scoped } from "./rig/figure.ts";
import { measureStartup, type Startup } from "./rig/first-frame.ts";
import { startNginxRtmp } from "./rig/nginx-rtmp.ts";
import { servePeerPage } from "./rig/peer-page.ts";
import { startPlatform } from "./rig/platform.ts";
import { Publisher } from "./rig/publisher.ts";
import { type Recording, record } from "./rig/recording.ts";

/** Both subjects have a window of several segments by then. */
const WARM_UP_MS = 12_000;
const SEGMENT_MS = 2_000;
/** Navigations before the measurement: processes of the browser start, files are in the machine's memory. */
const WARM_UP_NAVIGATIONS = 2;
const STAGES = ["html", "scripts", "asked", "playlist", "playlists", "init", "media", "frame"] as const;

/** From the navigation to a watch page to its first frame in Chromium; the same for nginx-rtmp with hls.js. */
export const bench: Bench = async (args, run) => {
  const { values } = parseArgs({ args, options: { navigations: { type: "string", default: "20" } } });
  const navigations = Number(values.navigations);
  if (!Number.isInteger(navigations) || navigations < 1) throw new Error("--navigations takes a whole number from 1");
  run.say("encoding the recording…");
  const recording = await record({ width: 640, height: 360, fps: 30, gop: SEGMENT_MS / 1000, videoKbps: 1500 });
  await scoped(run, (scope) => benchNova(navigations, recording, scope));
  await scoped(run, (scope) => benchNginx(navigations, recording, scope));
};

async function benchNova(navigations: number, recording: Recording, run: BenchRun): Promise<void> {
  const platform = await startPlatform(run.cleanup, run.say);
  const stream = await platform.createStream("Startup");
  await publish(platform.rtmpPort, stream.stream_key, recording, run);
  await measure("nova", `${platform.site}/watch/${stream.id}`, navigations, run);
}

async function benchNginx(navigations: number, recording: Recording, run: BenchRun): Promise<void> {
  const nginx = await startNginxRtmp(run.cleanup, run.say);
  await publish(nginx.rtmpPort, "startup", recording, run);
  await measure("nginx-rtmp", await servePeerPage(nginx.site, "/startup.m3u8", run.cleanup), navigations, run);
}

async function publish(rtmpPort: number, streamKey: string, recording: Recording, run: BenchRun): Promise<void> {
  const publisher = await Publisher.start(rtmpPort, streamKey, recording);
  run.cleanup.add(() => publisher.stop());
}

async function measure(subject: string, url: string, navigations: number, run: BenchRun): Promise<void> {
  const browser = await launchBrowser();
  run.cleanup.add(() => browser.close());
  run.say(`${subject}: ${navigations} navigations…`);
  await sleep(WARM_UP_MS);
  const seen: Startup[] = [];
  for (let number = -WARM_UP_NAVIGATIONS; number < navigations; number++) {
    // Spread evenly over a segment, for the way depends on how much of it there is.
    const phase = ((number + WARM_UP_NAVIGATIONS) * SEGMENT_MS) / (navigations + WARM_UP_NAVIGATIONS);
    await sleep((phase - (performance.now() % SEGMENT_MS) + SEGMENT_MS) % SEGMENT_MS);
    const startup = await measureStartup(browser, url);
    if (number >= 0) seen.push(startup);
  }
  const slowest = seen.reduce((a, b) => (a.frame > b.frame ? a : b));
  const load = (loadavg()[0] ?? 0).toFixed(1);
  run.say(`${subject}: medians since the navigation began: ${describe(seen)}; of the slowest: ${describe([slowest])}; load ${load}`);
  const frames = seen.map(({ frame }) => frame);
  for (const [metric, share] of [
    ["p50", 0.5],
    ["p95", 0.95],
  ] as const) {
    const value = Math.round(percentile(frames, share) * 1000) / 1000;
    run.emit({ bench: "startup", subject, metric, value, unit: "s", n: frames.length });
  }
}

/** The median of each stage. */
function describe(seen: Startup[]): string {
  const stages = STAGES.flatMap((stage) => {
    const times = seen.flatMap((startup) => startup[stage] ?? []);
    return times.length === 0 ? [] : [`${stage} ${(1000 * percentile(times, 0.5)).toFixed(0)} ms`];
  });
  return stages.join(", ");
}
