import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { z } from "zod";
import { syntheticTags } from "../fakes/media/synthetic-tags.ts";
import { RtmpClient } from "../fakes/rtmp/client.ts";
import { type FuzzTarget, fuzz } from "../fakes/rtmp/fuzz.ts";
import { fuzzTargets } from "../fakes/rtmp/fuzz-targets.ts";
import { startIngest } from "../fakes/rtmp/ingest-fixture.ts";
import { createRandom, encodeSession, mutate } from "../fakes/rtmp/mutation.ts";
import type { Bench, BenchRun } from "./rig/figure.ts";
import { readProcessTree } from "./rig/process-usage.ts";

const Options = z.object({
  /** Of all parsers together. */
  executions: z.coerce.number().int().min(1_000).max(1_000_000_000).default(1_000_000),
  seed: z.coerce.number().int().min(0).max(4_294_967_295).default(1),
  /** Harmed sessions that go to a real ingest. */
  sessions: z.coerce.number().int().min(0).max(1_000_000).default(4_000),
});
type Options = z.infer<typeof Options>;

/** RTMP is what a stranger reaches first. */
const RTMP_SHARE = 0.4;
const ROUNDS = 20;
const SESSIONS_AT_ONCE = 40;
const SESSION_MS = 100;
const HANDSHAKE_BYTES = 3073;
const MB = 2 ** 20;

/** Harmed input to every parser that a stranger reaches, and harmed sessions to a real ingest beside a publish that goes on. */
export const bench: Bench = async (args, run) => {
  const names = ["executions", "seed", "sessions"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  run.say("encoding what is harmed…");
  const targets = await fuzzTargets();
  fuzzParsers(targets, options, run);
  await fuzzIngest(options, run);
};

function fuzzParsers(targets: FuzzTarget[], { executions, seed }: Options, run: BenchRun): void {
  const collect = garbageCollector();
  let total = 0;
  let elapsedMs = 0;
  const findings: string[] = [];
  let hangs = 0;
  let before = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, target] of targets.entries()) {
      const share = index === 0 ? RTMP_SHARE : (1 - RTMP_SHARE) / (targets.length - 1);
      const count = Math.ceil((executions * share) / ROUNDS);
      const startedAt = performance.now();
      const outcome = fuzz(target, count, seed * 1000 + round * targets.length + index);
      const ms = performance.now() - startedAt;
      if (round === 0) run.say(`${target.name}: ${Math.round((count * 1000) / ms)} a second, ${outcome.refused} of ${count} refused`);
      elapsedMs += ms;
      total += outcome.executions;
      hangs += outcome.hangs.length;
      for (const [kind, input] of outcome.uncaught) findings.push(`${target.name}: ${kind}: ${input.toString("base64").slice(0, 2000)}`);
    }
    collect();
    // What the first round made (code, caches) stays.
    if (round === 0) before = memoryInUse();
  }
  for (const finding of new Set(findings)) run.say(finding);
  const kinds = new Set(findings.map((finding) => finding.split(": ").slice(0, 3).join(": "))).size;
  const emit = (metric: string, value: number, unit: "events" | "1/s" | "MB") =>
    run.emit({ bench: "fuzz", subject: "nova", metric, value, unit, n: total });
  emit("executions", total, "events");
  emit("executions_per_second", Math.round((total * 1000) / elapsedMs), "1/s");
  emit("uncaught_kinds", kinds, "events");
  emit("hangs", hangs, "events");
  emit("heap_growth", Math.round(((memoryInUse() - before) / MB) * 10) / 10, "MB");
}

async function fuzzIngest({ sessions, seed }: Options, run: BenchRun): Promise<void> {
  if (sessions === 0) return;
  const running = await startIngest({ connectionsPerAddress: 100 }, undefined, { processes: 2 });
  run.cleanup.add(() => running.ingest.stop());
  const pids = running.ingest.pids;
  const resident = () => Math.max(...pids.flatMap((pid) => readProcessTree(pid).map(({ rssMb }) => rssMb)));
  const tags = syntheticTags({ seconds: 2, video: { width: 64, height: 64 } });
  const good = await RtmpClient.connected(running.port);
  await good.publish("good");
  const stop = new AbortController();
  const sending = good.sendPaced(tags, stop.signal);
  const session = encodeSession("harmed", tags.slice(0, 12));
  const random = createRandom(seed);
  run.say(`${sessions} harmed sessions to a real ingest…`);
  let before = 0;
  for (let sent = 0; sent < sessions; sent += SESSIONS_AT_ONCE) {
    const clients = await Promise.all(Array.from({ length: SESSIONS_AT_ONCE }, () => RtmpClient.open(running.port)));
    for (const client of clients) client.raw(mutate(session, random() < 0.1 ? 0 : HANDSHAKE_BYTES, random));
    await delay(SESSION_MS);
    for (const client of clients) client.destroy();
    if (sent === SESSIONS_AT_ONCE * 5) before = resident();
  }
  const growth = before === 0 ? 0 : resident() - before;
  stop.abort();
  await sending;
  good.unpublish("good");
  const publication = await running.publication("good");
  const end = await publication.ended;
  const lost = end.reason === "unpublished" ? 0 : 1;
  const exits = pids.filter((pid) => !running.ingest.pids.includes(pid)).length;
  const emit = (metric: string, value: number, unit: "events" | "streams" | "MB") =>
    run.emit({ bench: "fuzz", subject: "nova", metric, value, unit, n: sessions });
  emit("ingest_exits", exits, "events");
  emit("publishes_lost", lost, "streams");
  emit("ingest_growth", Math.round(growth), "MB");
  if (running.publications.length < sessions / 50) throw new Error("hardly any session got as far as a publish: nothing was tried");
}

/** Bytes that are in use once garbage is gone, of buffers too. */
function memoryInUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
