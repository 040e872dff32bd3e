import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { type Cadence, computeCadence } from "./rig/cadence.ts";
import { placeFor } from "./rig/data-place.ts";
import { Encoders } from "./rig/encoders.ts";
import { type Bench, type BenchRun, type Figure, percentile, scoped } from "./rig/figure.ts";
import { inTurn } from "./rig/in-turn.ts";
import { LossAudit } from "./rig/loss-audit.ts";
import { nginxOutput } from "./rig/nginx-output.ts";
import { startNginxRtmp } from "./rig/nginx-rtmp.ts";
import { novaOutput } from "./rig/nova-output.ts";
import { computeOriginUsage } from "./rig/origin-usage.ts";
import { startPlatform } from "./rig/platform.ts";
import { decodeNewest, findFault } from "./rig/playable.ts";
import { computeConsumption, type ProcessUsage, readProcessTree } from "./rig/process-usage.ts";
import { type Recording, record } from "./rig/recording.ts";
import { StreamDelays } from "./rig/stream-delays.ts";
import type { Output } from "./rig/watch.ts";

const list = (text: string) => text.split(",");
const Options = z.object({
  /** How many publish at once, one after another. */
  streams: z
    .string()
    .default("1,20,100")
    .transform((text) => list(text).map(Number))
    .pipe(z.array(z.number().int().min(1).max(1_000)).min(1)),
  /** How long is measured. */
  seconds: z.coerce.number().int().min(4).max(36_000).default(30),
  subjects: z
    .string()
    .default("nova,nginx-rtmp")
    .transform(list)
    .pipe(z.array(z.enum(["nova", "nginx-rtmp"])).min(1)),
});

const PICTURE = { width: 1280, height: 720, fps: 30, gop: 2, videoKbps: 1500 };
/** From one encoder's start to the next one's. */
const RAMP_MS = 100;
const SETTLE_MS = 5_000;
/** What comes before and after the measurement, seconds. */
const AROUND_SECONDS = 60;
/** What the edge keeps of a stream's second. */
const BYTES_A_SECOND = 300_000;
/** Streams whose delays are measured, spread over all. */
const FOLLOWED = 3;
/** From one look at all playlists to the next. */
const LOOK_MS = 8_000;
/** Requests at a time, of those that check. */
const WIDTH = 4;

/** A started server, before anything is published to it. */
interface Subject {
  name: "nova" | "nginx-rtmp";
  rtmpPort: number;
  streamKeys: string[];
  output(index: number): Output;
  /** Media playlists of a stream. */
  playlists(index: number): { kind: "video" | "audio" | "both"; url: string }[];
  readUsage(): { origin: ProcessUsage[]; edge: ProcessUsage[] };
}

type EmitFigure = (metric: string, value: number, unit: Figure["unit"], n: number) => void;

/** Many publishes at once: what they cost, how late their parts are, whether all of them play, and what is lost; the same for nginx-rtmp. */
export const bench: Bench = async (args, run) => {
  const names = ["streams", "seconds", "subjects"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  run.say("encoding the recording…");
  const recording = await record(PICTURE);
  const start = {
    nova: (streams: number, scope: BenchRun) => startNova(streams, options.seconds, recording, scope),
    "nginx-rtmp": (streams: number, scope: BenchRun) => startPeer(streams, recording, scope),
  };
  for (const streams of options.streams) {
    for (const name of options.subjects) {
      await scoped(run, async (scope) => measure(await start[name](streams, scope), options.seconds, recording, scope));
    }
  }
};

async function startNova(streams: number, seconds: number, recording: Recording, run: BenchRun): Promise<Subject> {
  const limits = { MAX_STREAMS: String(streams), MAX_CONNECTIONS_PER_ADDRESS: String(2 * streams + 10) };
  const { directory, isMemory } = placeFor(streams * (seconds + AROUND_SECONDS) * BYTES_A_SECOND);
  if (!isMemory) run.say("nova: too little room in memory for the edge's data: the disk is measured, too");
  const platform = await startPlatform(run.cleanup, run.say, limits, directory);
  const made = await inTurn(Array.from({ length: streams }), WIDTH, (_, index) => platform.createStream(`Bench ${index}`));
  const id = (index: number) => made[index]?.id ?? "";
  return {
    name: "nova",
    rtmpPort: platform.rtmpPort,
    streamKeys: made.map(({ stream_key }) => stream_key),
    output: (index) => novaOutput(platform.site, id(index), recording),
    playlists: (index) => [
      { kind: "video", url: `${platform.site}/hls/${id(index)}/source/index.m3u8` },
      { kind: "audio", url: `${platform.site}/hls/${id(index)}/audio/index.m3u8` },
    ],
    readUsage: () => ({ origin: readProcessTree(platform.originPid), edge: readProcessTree(platform.edgePid) }),
  };
}

async function startPeer(streams: number, recording: Recording, run: BenchRun): Promise<Subject> {
  const nginx = await startNginxRtmp(run.cleanup, run.say);
  const key = (index: number) => `bench${index}`;
  return {
    name: "nginx-rtmp",
    rtmpPort: nginx.rtmpPort,
    streamKeys: Array.from({ length: streams }, (_, index) => key(index)),
    output: (index) => nginxOutput(nginx.site, key(index), recording),
    playlists: (index) => [{ kind: "both", url: `${nginx.site}/${key(index)}.m3u8` }],
    readUsage: () => ({ origin: readProcessTree(nginx.pid), edge: [] }),
  };
}

async function measure(subject: Subject, seconds: number, recording: Recording, run: BenchRun): Promise<void> {
  const { name, streamKeys } = subject;
  const streams = streamKeys.length;
  const emit: EmitFigure = (metric, value, unit, n) =>
    run.emit({ bench: "origin", subject: name, metric: `${metric}_${streams}`, value: Math.round(value * 10_000) / 10_000, unit, n });
  run.say(`${name}: ${streams} ${streams === 1 ? "stream" : "streams"}, measuring for ${seconds} s…`);
  const encoders = await Encoders.prepare(subject.rtmpPort, streamKeys, recording, run.cleanup);
  run.cleanup.add(() => encoders.stop(encoders.indices));
  const cadence: Cadence = computeCadence(PICTURE.fps, PICTURE.gop);
  const delays = new StreamDelays();
  for (const index of spread(streams, FOLLOWED)) delays.follow(encoders.follow(index), `stream ${index}`, subject.output(index), cadence);
  await encoders.start(encoders.indices, RAMP_MS);
  await sleep(SETTLE_MS);

  const audits = encoders.indices.map((index) => subject.playlists(index).map(({ url }) => new LossAudit(url)));
  const lookAround = () => inTurn(audits.flat(), WIDTH, (audit) => audit.look());
  await lookAround();
  const stateBefore = await encoders.readState();
  const before = subject.readUsage();
  const from = performance.now();
  delays.begin();
  for (let next = LOOK_MS; next < seconds * 1000; next += LOOK_MS) {
    await sleep(Math.max(0, from + next - performance.now()));
    await lookAround();
  }
  await sleep(Math.max(0, from + seconds * 1000 - performance.now()));
  const after = subject.readUsage();
  const stateAfter = await encoders.readState();
  const elapsed = (performance.now() - from) / 1000;
  await delays.end();
  await lookAround();

  emitUsage(emit, before, after, elapsed, streams);
  emitDelays(emit, delays, name === "nova");
  const counts = audits.flat().map((audit) => audit.count());
  const total = (of: (count: { expected: number; lost: number }) => number) => counts.reduce((sum, count) => sum + of(count), 0);
  emit(
    "lost_parts",
    total(({ lost }) => lost),
    "parts",
    total(({ expected }) => expected),
  );
  const faults = await findFaults(subject, recording, audits);
  emit("playable", streams - faults.length, "streams", streams);
  for (const fault of [...delays.failures, ...faults].slice(0, 10)) run.say(`${name}: ${fault}`);
  const lost = stateAfter.lost.length;
  if (lost > 0) run.say(`${name}: ${lost} connections were lost, the first because: ${stateAfter.lost[0]}`);
  emit("lost_publishes", lost, "streams", streams);
  emit("encoders_cpu", (100 * (stateAfter.cpuSeconds - stateBefore.cpuSeconds)) / elapsed, "percent", streams);
  emit("lateness_p95", percentile(stateAfter.lateness, 0.95) / 1000, "s", stateAfter.lateness.length);
  run.say(`${name}: load of the machine ${(loadavg()[0] ?? 0).toFixed(1)}`);
}

/** Words about each stream that does not play. */
async function findFaults(subject: Subject, recording: Recording, audits: LossAudit[][]): Promise<string[]> {
  const decoded = new Set(spread(audits.length, FOLLOWED));
  const found = await inTurn(audits, WIDTH, async (ofStream, index) => {
    if (ofStream.some((audit) => !audit.isAdvancing)) return `stream ${index}: its playlist does not advance`;
    for (const { kind, url } of subject.playlists(index)) {
      const fault = kind === "both" ? null : await findFault(url, recording, kind);
      const words = fault ?? (decoded.has(index) ? await decodeNewest(url) : null);
      if (words !== null) return `stream ${index}: ${words}`;
    }
    return null;
  });
  return found.filter((fault) => fault !== null);
}

function emitUsage(
  emit: EmitFigure,
  before: ReturnType<Subject["readUsage"]>,
  after: ReturnType<Subject["readUsage"]>,
  seconds: number,
  n: number,
): void {
  const usage = computeOriginUsage(before.origin, after.origin, seconds);
  emit("origin_cpu", usage.all.cpuPercent, "percent", n);
  emit("origin_memory", usage.all.pssMb, "MB", n);
  if (after.edge.length === 0) return;
  for (const part of ["main", "ingest", "ffmpeg"] as const) {
    emit(`${part}_cpu`, usage[part].cpuPercent, "percent", n);
    emit(`${part}_memory`, usage[part].pssMb, "MB", n);
  }
  const edge = computeConsumption(before.edge, after.edge, seconds, () => true);
  emit("edge_cpu", edge.cpuPercent, "percent", n);
  emit("edge_memory", edge.pssMb, "MB", n);
}

/** What was not observed is left out. */
function emitDelays(emit: EmitFigure, { delays, failures }: StreamDelays, hasParts: boolean): void {
  for (const [name, observed] of [["part", delays.parts] as const, ["segment", delays.segments] as const]) {
    if (name === "part" && !hasParts) continue;
    // A machine that is too small for so many leaves parts out: the lost ones say so.
    if (observed.length === 0) continue;
    emit(`${name}_p50`, percentile(observed, 0.5), "s", observed.length);
    emit(`${name}_p95`, percentile(observed, 0.95), "s", observed.length);
  }
  emit("not_followed", failures.length, "streams", failures.length);
}

/** At most `count` of the numbers below `size`, evenly spread. */
function spread(size: number, count: number): number[] {
  const taken = Math.min(size, count);
  return Array.from({ length: taken }, (_, index) => Math.floor((index * size) / taken));
}
