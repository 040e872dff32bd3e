import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { ProfileName } from "../../domain/profiles.ts";
import { Churn } from "./rig/churn.ts";
import { Encoders } from "./rig/encoders.ts";
import { type Bench, type BenchRun, type Figure, scoped } from "./rig/figure.ts";
import { inTurn } from "./rig/in-turn.ts";
import { LossAudit } from "./rig/loss-audit.ts";
import { MemorySeries } from "./rig/memory-series.ts";
import { startPlatform } from "./rig/platform.ts";
import { countOpenFiles, countOrphans, type ProcessUsage, readProcessTree } from "./rig/process-usage.ts";
import { record } from "./rig/recording.ts";
import { fetchVideoRenditions } from "./rig/video-renditions.ts";

const Options = z.object({
  minutes: z.coerce.number().min(0.25).max(2_880).default(30),
  streams: z.coerce.number().int().min(2).max(100).default(10),
  /** Of the video. */
  kbps: z.coerce.number().int().min(200).max(8_000).default(1500),
  profile: ProfileName.default("passthrough"),
});
type Options = z.infer<typeof Options>;

const RAMP_MS = 200;
/** From one look at memory and playlists to the next. */
const LOOK_MS = 4_000;
/** From one disturbance's beginning to the next one's. */
const CHURN_MS = 8_000;
/** The share of the time that counts as warming up, and of the streams that come and go. */
const WARM_UP_SHARE = 0.2;
const CHURN_SHARE = 0.3;
const SETTLE_MS = 5_000;
const WIDTH = 4;

/** Hours in minutes: whether the origin's memory and files grow while encoders come, go, break off and talk nonsense, and whether all others stay undisturbed. */
export const bench: Bench = async (args, run) => {
  const names = ["minutes", "streams", "kbps", "profile"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  await scoped(run, (scope) => soak(options, scope));
};

async function soak(options: Options, run: BenchRun): Promise<void> {
  run.say("encoding the recording…");
  const recording = await record({ width: 640, height: 360, fps: 30, gop: 2, videoKbps: options.kbps });
  const platform = await startPlatform(run.cleanup, run.say);
  const made = await inTurn(Array.from({ length: options.streams }), WIDTH, (_, index) =>
    platform.createStream(`Soak ${index}`, { profile: options.profile }),
  );
  const streamKeys = made.map(({ stream_key }) => stream_key);
  const encoders = await Encoders.prepare(platform.rtmpPort, streamKeys, recording, run.cleanup);
  run.cleanup.add(() => encoders.stop(encoders.indices));
  await encoders.start(encoders.indices, RAMP_MS);
  const coming = Math.max(1, Math.floor(options.streams * CHURN_SHARE));
  const churn = new Churn(encoders, encoders.indices.slice(-coming));
  await sleep(SETTLE_MS);

  const steady = await inTurn(made.slice(0, -coming), WIDTH, ({ id }) => fetchVideoRenditions(platform.site, id));
  const audits = steady.flat().map(({ url }) => new LossAudit(url));
  const memory = new OriginMemory(platform.originPid);
  const edgeMemory = new MemorySeries();
  const started = performance.now();
  const until = started + options.minutes * 60_000;
  const warmUntil = started + options.minutes * 60_000 * WARM_UP_SHARE;
  run.say(`${options.streams} streams, ${coming} of them come and go; ${options.minutes} minutes, the first fifth to warm up…`);

  let isOver = false;
  const disturbing = (async () => {
    while (!isOver) {
      const next = performance.now() + CHURN_MS;
      await churn.disturb();
      while (!isOver && performance.now() < next) await sleep(100);
    }
  })();
  disturbing.catch(() => undefined);
  let filesBefore: number | null = null;
  for (let next = started; next < until; next += LOOK_MS) {
    await Promise.race([sleep(Math.max(0, next - performance.now())), disturbing]);
    await inTurn(audits, WIDTH, (audit) => audit.look());
    if (performance.now() < warmUntil) continue;
    filesBefore ??= countOpenFiles(platform.originPid);
    memory.note();
    edgeMemory.note(performance.now(), readProcessTree(platform.edgePid));
  }
  isOver = true;
  await disturbing;
  await sleep(SETTLE_MS);

  const emit = (metric: string, value: number, unit: Figure["unit"], n: number) =>
    run.emit({ bench: "soak", subject: "nova", metric, value: Math.round(value * 1000) / 1000, unit, n });
  for (const [name, series] of [...memory.series, ["edge", edgeMemory] as const]) {
    const { first, last } = series.ends();
    emit(`${name}_memory_start`, first, "MB", series.count);
    emit(`${name}_memory_end`, last, "MB", series.count);
    emit(`${name}_memory_slope`, series.slope(), "MB/h", series.count);
  }
  emit("files_start", filesBefore ?? 0, "files", 1);
  emit("files_end", countOpenFiles(platform.originPid), "files", 1);
  emit("orphans", countOrphans(platform.originPid), "events", 1);
  emit("process_restarts", memory.restarts, "events", memory.series[0]?.[1].count ?? 0);
  const { lost, live } = await encoders.readState();
  for (const reason of lost.slice(0, 10)) run.say(`a connection was lost: ${reason}`);
  emit("lost_publishes", lost.length, "streams", options.streams);
  emit("live", live, "streams", options.streams);
  const counts = audits.map((audit) => audit.count());
  const sum = (of: (count: { expected: number; lost: number }) => number) => counts.reduce((total, count) => total + of(count), 0);
  emit(
    "lost_parts",
    sum((count) => count.lost),
    "parts",
    sum((count) => count.expected),
  );
  emit("refusals", churn.refusals, "events", churn.done.restarts + churn.done.reconnects);
  const { restarts, reconnects, garbage } = churn.done;
  run.say(`${restarts} encoders began anew, ${reconnects} broke off and came back, ${garbage} connections talked nonsense`);
}

/** The memory of an origin and its parts over time, and how often one of its lasting processes was another one. */
class OriginMemory {
  readonly #pid: number;
  readonly series: readonly [string, MemorySeries][] = ["origin", "main", "ingest", "ffmpeg"].map((name) => [name, new MemorySeries()]);
  restarts = 0;
  #lasting: number[] | null = null;

  constructor(pid: number) {
    this.#pid = pid;
  }

  note(): void {
    const at = performance.now();
    const processes = readProcessTree(this.#pid);
    const isMain = ({ pid }: ProcessUsage) => pid === this.#pid;
    const isFfmpeg = ({ command }: ProcessUsage) => command === "ffmpeg";
    const parts: Record<string, ProcessUsage[]> = {
      origin: processes,
      main: processes.filter(isMain),
      ingest: processes.filter((process) => !isMain(process) && !isFfmpeg(process)),
      ffmpeg: processes.filter(isFfmpeg),
    };
    for (const [name, series] of this.series) series.note(at, parts[name] ?? []);
    const lasting = (parts.ingest ?? []).map(({ pid }) => pid);
    this.restarts += this.#lasting?.filter((pid) => !lasting.includes(pid)).length ?? 0;
    this.#lasting = lasting;
  }
}
