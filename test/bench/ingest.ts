import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { defaultLimits } from "../../origin/ingest/limits.ts";
import { computeCadence } from "./rig/cadence.ts";
import { type Bench, type BenchRun, type Figure, percentile, scoped } from "./rig/figure.ts";
import { nginxOutput } from "./rig/nginx-output.ts";
import { startNginxRtmp } from "./rig/nginx-rtmp.ts";
import { novaOutput } from "./rig/nova-output.ts";
import { startPlatform } from "./rig/platform.ts";
import { computeConsumption, type ProcessUsage, readProcessTree } from "./rig/process-usage.ts";
import { Publisher } from "./rig/publisher.ts";
import { type Recording, record } from "./rig/recording.ts";
import { type Delays, type Output, watch } from "./rig/watch.ts";

const Options = z.object({
  streams: z.coerce.number().int().min(1).max(defaultLimits.connectionsPerAddress).default(1),
  /** How long is measured. */
  seconds: z.coerce.number().int().min(4).max(36_000).default(30),
  fps: z.coerce.number().int().min(10).max(120).default(30),
  /** Seconds between key frames. */
  gop: z.coerce.number().int().min(1).max(8).default(2),
});
type Options = z.infer<typeof Options>;

/** A started server, with the streams that are published to it. */
interface Subject {
  name: string;
  rtmpPort: number;
  streamKeys: string[];
  /** The first stream's. */
  output: Output;
  readUsage(): ProcessUsage[];
}

interface Measured {
  delays: Delays;
  before: ProcessUsage[];
  after: ProcessUsage[];
  /** Between the two readings. */
  seconds: number;
}

type EmitFigure = (metric: string, value: number, unit: Figure["unit"], n: number) => void;

const RAMP_MS = 100;
const SETTLE_MS = 5_000;

/** Encoder to viewer-fetchable media, processor and memory per stream; the same for nginx-rtmp, one after the other. */
export const bench: Bench = async (args, run) => {
  const names = ["streams", "seconds", "fps", "gop"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  run.say("encoding the recording…");
  const recording = await record({ width: 640, height: 360, fps: options.fps, gop: options.gop, videoKbps: 1500 });
  await scoped(run, (scope) => benchNova(options, recording, scope));
  await scoped(run, (scope) => benchNginx(options, recording, scope));
};

async function benchNova(options: Options, recording: Recording, run: BenchRun): Promise<void> {
  const platform = await startPlatform(run.cleanup, run.say);
  const streams: { id: string; stream_key: string }[] = [];
  for (let index = 0; index < options.streams; index++) streams.push(await platform.createStream(`Bench ${index}`));
  const { before, after, seconds, delays } = await measure(options, recording, run, {
    name: "nova",
    rtmpPort: platform.rtmpPort,
    streamKeys: streams.map((stream) => stream.stream_key),
    output: novaOutput(platform.site, streams[0]?.id ?? "", recording),
    readUsage: () => [...readProcessTree(platform.originPid), ...readProcessTree(platform.edgePid)],
  });
  const emit = emitter(run, "nova");
  emitDelay(emit, "part", delays.parts);
  emitDelay(emit, "segment", delays.segments);
  emit("parts_missing", delays.missingParts, "parts", delays.parts.length + delays.missingParts);
  const edgePids = new Set(readProcessTree(platform.edgePid).map((process) => process.pid));
  const of = (isOne: (process: ProcessUsage) => boolean) => computeConsumption(before, after, seconds, isOne);
  const edge = of((process) => process.command === "workerd" && edgePids.has(process.pid));
  const origin = of((process) => !edgePids.has(process.pid) && process.command !== "ffmpeg");
  const ffmpeg = of((process) => !edgePids.has(process.pid) && process.command === "ffmpeg");
  const n = options.streams;
  emit("cpu_per_stream", (origin.cpuPercent + ffmpeg.cpuPercent) / n, "percent", n);
  emit("origin_cpu", origin.cpuPercent, "percent", n);
  emit("ffmpeg_cpu_per_stream", ffmpeg.cpuPercent / n, "percent", n);
  emit("edge_cpu", edge.cpuPercent, "percent", n);
  emit("memory_per_stream", (origin.rssMb + ffmpeg.rssMb) / n, "MB", n);
  emit("origin_rss_mb", origin.rssMb, "MB", n);
  emit("ffmpeg_rss_mb_per_stream", ffmpeg.rssMb / n, "MB", n);
  emit("ffmpeg_pss_mb_per_stream", ffmpeg.pssMb / n, "MB", n);
  emit("edge_rss_mb", edge.rssMb, "MB", n);
}

async function benchNginx(options: Options, recording: Recording, run: BenchRun): Promise<void> {
  const nginx = await startNginxRtmp(run.cleanup, run.say);
  const streamKeys = Array.from({ length: options.streams }, (_, index) => `bench${index}`);
  const { before, after, seconds, delays } = await measure(options, recording, run, {
    name: "nginx-rtmp",
    rtmpPort: nginx.rtmpPort,
    streamKeys,
    output: nginxOutput(nginx.site, streamKeys[0] ?? "", recording),
    readUsage: () => readProcessTree(nginx.pid),
  });
  const emit = emitter(run, "nginx-rtmp");
  emitDelay(emit, "segment", delays.segments);
  const all = computeConsumption(before, after, seconds, () => true);
  emit("cpu_per_stream", all.cpuPercent / options.streams, "percent", options.streams);
  emit("memory_per_stream", all.rssMb / options.streams, "MB", options.streams);
}

/** Publishes to a server, follows the first stream, and reads what its processes use. */
async function measure(options: Options, recording: Recording, run: BenchRun, subject: Subject): Promise<Measured> {
  const cadence = computeCadence(options.fps, options.gop);
  const period = { from: Number.POSITIVE_INFINITY, until: Number.POSITIVE_INFINITY };
  const publishers: Publisher[] = [];
  run.cleanup.add(() => Promise.all(publishers.map((publisher) => publisher.stop())));
  const publish = async (streamKey: string) => {
    const publisher = await Publisher.start(subject.rtmpPort, streamKey, recording);
    publishers.push(publisher);
    return publisher;
  };
  const [firstKey = "", ...otherKeys] = subject.streamKeys;
  run.say(
    `${subject.name}: publishing ${options.streams} ${options.streams === 1 ? "stream" : "streams"}, measuring for ${options.seconds} s…`,
  );
  const first = await publish(firstKey);
  const watched = watch(first.clock, subject.output, cadence, period);
  const timed = async (): Promise<Omit<Measured, "delays">> => {
    for (const streamKey of otherKeys) {
      await sleep(RAMP_MS);
      await publish(streamKey);
    }
    await sleep(SETTLE_MS);
    const before = subject.readUsage();
    period.from = performance.now();
    await sleep(options.seconds * 1000);
    period.until = performance.now();
    const after = subject.readUsage();
    return { before, after, seconds: (period.until - period.from) / 1000 };
  };
  const [delays, usage] = await Promise.all([watched, timed()]);
  const lost = publishers.filter((publisher) => publisher.isLost).length;
  if (lost > 0) throw new Error(`${subject.name} lost ${lost} of ${options.streams} streams`);
  const lateness = percentile(first.latenessSince(period.from), 0.95);
  const load = (loadavg()[0] ?? 0).toFixed(1);
  run.say(`${subject.name}: the publisher sent its frames at most ${lateness.toFixed(1)} ms late (p95); load of the machine ${load}`);
  return { delays, ...usage };
}

/** Throws where nothing was observed. */
function emitDelay(emit: EmitFigure, name: "part" | "segment", observed: number[]): void {
  if (observed.length === 0) throw new Error(`no ${name} was complete while it was measured: measure for longer`);
  emit(`${name}_p50`, percentile(observed, 0.5), "s", observed.length);
  emit(`${name}_p95`, percentile(observed, 0.95), "s", observed.length);
}

function emitter(run: BenchRun, subject: string): EmitFigure {
  return (metric, value, unit, n) => run.emit({ bench: "ingest", subject, metric, value: Math.round(value * 10_000) / 10_000, unit, n });
}
