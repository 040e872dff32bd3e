import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import type { AudienceAnswer, AudienceQuestion } from "./rig/audience-process.ts";
import { ClientProcess } from "./rig/client-process.ts";
import { type Edge, startEdge } from "./rig/edge.ts";
import { type Bench, type BenchRun, scoped } from "./rig/figure.ts";
import { AUDIO_FEED, PushedFeed, VIDEO_FEED } from "./rig/pushed-feed.ts";

const Options = z.object({
  /** Sizes of the audiences, one after another. */
  viewers: z
    .string()
    .default("1,10,100,1000")
    .transform((text) => text.split(",").map(Number))
    .pipe(z.array(z.number().int().min(1).max(5_000)).min(1)),
  /** How long each audience watches after all have joined, seconds of the stream. */
  seconds: z.coerce.number().int().min(2).max(3_600).default(12),
  latency: z.enum(["low", "standard"]).default("low"),
  /** Requests a second that this machine can serve without falling behind. */
  load: z.coerce.number().int().min(1).default(1_200),
});
type Options = z.infer<typeof Options>;

/** What an audience did, and how many times slower than life the stream went for it. */
interface Watched extends AudienceAnswer {
  slowdown: number;
}

type EmitFigure = (metric: string, value: number, n: number) => void;

/** The audience joins within so much of the stream. */
const JOIN_SECONDS = 4;
/** Enough for a whole window, with segments that a delta update may leave out. */
const SEGMENTS_BEFORE = 12;
const SETTLE_MS = 1_000;
/** A playlist and a part of each of two renditions, every 0.5 s; in `standard` latency every 2 s a playlist and a segment. */
const REQUESTS_PER_VIEWER = { low: 8, standard: 2 };
/** Reloads that may find a viewer behind before the audience is none that watches live. */
const LATE_SHARE = 0.1;

/** What an audience costs: calls of the stream's object and reads of R2 for each second of the stream, behind one isolate. */
export const bench: Bench = async (args, run) => {
  const names = ["viewers", "seconds", "latency", "load"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  const emit: EmitFigure = (metric, value, n) =>
    run.emit({
      bench: "requests",
      subject: "nova",
      metric,
      value: Math.round(value * 1000) / 1000,
      unit: /ratio|slowdown/.test(metric) ? "parts" : "1/s",
      n,
    });
  const edge = await startEdge(run.cleanup, run.say);
  const calls = new Map<number, number>();
  for (const viewers of options.viewers) {
    await scoped(run, async (scope) => {
      calls.set(viewers, emitRates(emit, viewers, await watch(edge, viewers, options, scope)));
    });
  }
  const [one, thousand] = [calls.get(1), calls.get(1000)];
  if (one !== undefined && thousand !== undefined) emit("object_calls_ratio_1000_to_1", thousand / one, 1);
};

/** Lets an audience watch a stream of its own. Rejects where any request failed, the feed did, or the audience fell behind. */
async function watch(edge: Edge, viewers: number, options: Options, run: BenchRun): Promise<Watched> {
  const stream = await edge.createStream({ title: `Watched by ${viewers}`, latency_mode: options.latency });
  const feed = await PushedFeed.start(edge, stream.stream_key, [VIDEO_FEED, AUDIO_FEED], SEGMENTS_BEFORE);
  run.cleanup.add(() => feed.stop());
  const slowdown = Math.max(1, Math.ceil((viewers * REQUESTS_PER_VIEWER[options.latency]) / options.load));
  feed.run(slowdown);
  await sleep(SETTLE_MS);
  const clients = new ClientProcess(new URL("./rig/audience-process.ts", import.meta.url), run.cleanup);
  const pace = slowdown === 1 ? "" : `, ${slowdown} times slower than life`;
  run.say(`${viewers} ${viewers === 1 ? "viewer" : "viewers"}: ${JOIN_SECONDS + options.seconds} s of the stream${pace}…`);
  const seen = await clients.ask<AudienceAnswer>({
    site: edge.site,
    multivariant: new URL(stream.playback.hls, edge.site).pathname,
    viewers,
    joinMs: JOIN_SECONDS * 1000 * slowdown,
    watchMs: options.seconds * 1000 * slowdown,
  } satisfies AudienceQuestion);
  feed.assertAlive();
  const { joining, watching } = seen;
  const failures = joining.failures + watching.failures;
  const reason = joining.firstFailure ?? watching.firstFailure;
  if (failures > 0) throw new Error(`${failures} of ${viewers} viewers failed, the first because ${reason}`);
  const late = watching.late / Math.max(1, watching.reloads);
  const megabits = ((watching.bytes * 8) / 1e6 / seen.watchingSeconds).toFixed(0);
  const load = (loadavg()[0] ?? 0).toFixed(1);
  run.say(
    `${viewers}: ${megabits} Mbit/s; ${(100 * late).toFixed(1)} % of the reloads were late, parts were pushed ≤ ${feed.latestMs.toFixed(0)} ms late; load of the machine ${load}`,
  );
  if (late > LATE_SHARE) throw new Error(`the ${viewers} viewers fell behind: this machine needs a lower --load`);
  return { ...seen, slowdown };
}

/** Emits what an audience cost for each second of the stream; returns the calls of the object. */
function emitRates(emit: EmitFigure, viewers: number, watched: Watched): number {
  const { joining, watching, slowdown } = watched;
  const joiningSeconds = watched.joiningSeconds / slowdown;
  const watchingSeconds = watched.watchingSeconds / slowdown;
  emit(`object_calls_${viewers}`, watching.objectCalls / watchingSeconds, watching.objectCalls);
  emit(`r2_reads_${viewers}`, watching.r2Reads / watchingSeconds, watching.r2Reads);
  emit(`requests_per_second_${viewers}`, watching.requests / watchingSeconds, watching.requests);
  emit(`joining_object_calls_${viewers}`, joining.objectCalls / joiningSeconds, joining.objectCalls);
  emit(`joining_r2_reads_${viewers}`, joining.r2Reads / joiningSeconds, joining.r2Reads);
  emit(`slowdown_${viewers}`, slowdown, 1);
  return watching.objectCalls / watchingSeconds;
}
