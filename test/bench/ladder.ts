import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { ProfileName } from "../../domain/profiles.ts";
import { type Alignment, AlignmentCheck } from "./rig/alignment.ts";
import { computeCadence } from "./rig/cadence.ts";
import { Encoders } from "./rig/encoders.ts";
import { type Bench, type BenchRun, type Figure, percentile, scoped } from "./rig/figure.ts";
import { inTurn } from "./rig/in-turn.ts";
import { novaOutput } from "./rig/nova-output.ts";
import { computeOriginUsage } from "./rig/origin-usage.ts";
import { type Platform, startPlatform } from "./rig/platform.ts";
import { pollUntil } from "./rig/poll.ts";
import { readProcessTree } from "./rig/process-usage.ts";
import { type Recording, record } from "./rig/recording.ts";
import { StreamDelays } from "./rig/stream-delays.ts";
import { fetchVideoRenditions } from "./rig/video-renditions.ts";

/** What is published. */
const PICTURES = {
  "720p30": { width: 1280, height: 720, fps: 30, gop: 2, videoKbps: 4000 },
  "1080p30": { width: 1920, height: 1080, fps: 30, gop: 2, videoKbps: 6000 },
};

const list = (text: string) => text.split(",");
const Options = z.object({
  streams: z.coerce.number().int().min(1).max(100).default(1),
  /** How long is measured. */
  seconds: z.coerce.number().int().min(4).max(36_000).default(20),
  pictures: z
    .string()
    .default("720p30,1080p30")
    .transform(list)
    .pipe(z.array(z.enum(["720p30", "1080p30"])).min(1)),
  profiles: z.string().default("passthrough,ladder,ladder_source").transform(list).pipe(z.array(ProfileName).min(1)),
});
type Options = z.infer<typeof Options>;
type EmitFigure = (metric: string, value: number, unit: Figure["unit"], n: number) => void;

const RAMP_MS = 500;
const SETTLE_MS = 5_000;
const LOOK_MS = 4_000;
const WIDTH = 4;

/** What a ladder costs, a stream and a rung; whether its rungs are cut at the same times; and how late the parts of each rung are. */
export const bench: Bench = async (args, run) => {
  const names = ["streams", "seconds", "pictures", "profiles"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  for (const picture of options.pictures) {
    run.say(`encoding the recording of ${picture}…`);
    const recording = await record(PICTURES[picture]);
    for (const profile of options.profiles) {
      const emit: EmitFigure = (metric, value, unit, n) => {
        const rounded = Math.round(value * 10_000) / 10_000;
        run.emit({ bench: "ladder", subject: "nova", metric: `${metric}_${picture}_${profile}`, value: rounded, unit, n });
      };
      await scoped(run, (scope) => measure(options, picture, profile, recording, emit, scope));
    }
  }
};

async function measure(
  options: Options,
  picture: keyof typeof PICTURES,
  profile: ProfileName,
  recording: Recording,
  emit: EmitFigure,
  run: BenchRun,
): Promise<void> {
  const { streams, seconds } = options;
  const platform = await startPlatform(run.cleanup, run.say);
  const made = await inTurn(Array.from({ length: streams }), WIDTH, (_, index) => platform.createStream(`Ladder ${index}`, { profile }));
  const streamKeys = made.map(({ stream_key }) => stream_key);
  const encoders = await Encoders.prepare(platform.rtmpPort, streamKeys, recording, run.cleanup);
  run.cleanup.add(() => encoders.stop(encoders.indices));
  run.say(`${picture}, ${profile}: measuring for ${seconds} s…`);
  const first = made[0]?.id ?? "";
  const { fps, gop } = PICTURES[picture];
  const clock = encoders.follow(0);
  await encoders.start(encoders.indices, RAMP_MS);
  const { value: renditions } = await pollUntil("the multivariant playlist", () => findRenditions(platform, first));
  const delays = renditions.map(({ name }) => {
    const ofRendition = new StreamDelays();
    ofRendition.follow(clock, `rendition ${name}`, novaOutput(platform.site, first, recording, name), computeCadence(fps, gop));
    return { name, ofRendition };
  });
  await sleep(SETTLE_MS);

  const check = new AlignmentCheck(renditions.map(({ url }) => url));
  let fewest = renditions.length;
  const look = async () => {
    await check.look();
    fewest = Math.min(fewest, (await fetchVideoRenditions(platform.site, first)).length);
  };
  await look();
  const before = readProcessTree(platform.originPid);
  const from = performance.now();
  for (const { ofRendition } of delays) ofRendition.begin();
  for (let next = LOOK_MS; next < seconds * 1000; next += LOOK_MS) {
    await sleep(Math.max(0, from + next - performance.now()));
    await look();
  }
  await sleep(Math.max(0, from + seconds * 1000 - performance.now()));
  const usage = computeOriginUsage(before, readProcessTree(platform.originPid), (performance.now() - from) / 1000);
  await Promise.all(delays.map(({ ofRendition }) => ofRendition.end()));
  await look();

  const dropped = renditions.length - fewest;
  emit("dropped_rungs", dropped, "streams", renditions.length);
  emitAlignment(emit, await check.compare());
  run.say(`${picture}, ${profile}: load of the machine ${(loadavg()[0] ?? 0).toFixed(1)}`);
  if (dropped > 0)
    return run.say(`${picture}, ${profile}: the machine did not carry it, so there is nothing to say about costs and delays`);

  emit("origin_cpu", usage.all.cpuPercent / streams, "percent", streams);
  emit("ffmpeg_cpu", usage.ffmpeg.cpuPercent / streams, "percent", streams);
  emit("origin_memory", usage.all.pssMb / streams, "MB", streams);
  const rungs = renditions.filter(({ name }) => name !== "source").length;
  emit("rungs", rungs, "streams", streams);
  if (rungs > 0) emit("cpu_per_rung", usage.ffmpeg.cpuPercent / streams / rungs, "percent", streams * rungs);
  for (const { name, ofRendition } of delays) {
    for (const failure of ofRendition.failures) run.say(`${picture}, ${profile}: ${failure}`);
    const { parts, missingParts } = ofRendition.delays;
    if (parts.length === 0) throw new Error(`no part of ${name} was complete while it was measured. ${ofRendition.failures[0] ?? ""}`);
    emit(`part_p50_${name}`, percentile(parts, 0.5), "s", parts.length);
    emit(`part_p95_${name}`, percentile(parts, 0.95), "s", parts.length);
    emit(`parts_missing_${name}`, missingParts, "parts", parts.length + missingParts);
  }
}

async function findRenditions({ site }: Platform, id: string): Promise<{ name: string; url: string }[] | null> {
  const found = await fetchVideoRenditions(site, id);
  return found.length > 0 ? found : null;
}

function emitAlignment(emit: EmitFigure, { segments, aligned, sameFrames }: Alignment): void {
  if (segments === 0) throw new Error("no segment was there in all renditions");
  emit("aligned", aligned / segments, "ratio", segments);
  emit("same_frames", sameFrames / segments, "ratio", segments);
}
