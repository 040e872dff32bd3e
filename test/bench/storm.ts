import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { AudienceFigures } from "./rig/audience-figure.ts";
import { checkCount } from "./rig/count-check.ts";
import { Crowd, latest } from "./rig/crowd.ts";
import type { MarkedEvent } from "./rig/event-ledger.ts";
import { type Bench, type BenchRun, scoped } from "./rig/figure.ts";
import type { FragileHub } from "./rig/hub.ts";
import { monotonicMs } from "./rig/monotonic.ts";
import { startNovaHub } from "./rig/nova-hub.ts";
import { startWsHub } from "./rig/ws-hub.ts";

const subjects = { nova: (run: BenchRun) => startNovaHub(true, run), ws: (run: BenchRun) => startWsHub(true, run) };

const Options = z.object({
  sockets: z.coerce.number().int().min(1).max(9_500).default(9_000),
  subjects: z
    .string()
    .default("nova,ws")
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(["nova", "ws"])).min(1)),
});

const SETTLE_MS = 3_000;
/** Messages that everybody has before the server dies, and that nobody is to see again. */
const MARKS_BEFORE = 3;
/** From one message to the next while the audience comes back. */
const PACE_MS = 1_000;
const LOOK_MS = 100;
const BACK_TIMEOUT_MS = 90_000;

/** What was seen from outside while an audience came back. */
interface Comeback {
  /** From the kill until the server answered, s. */
  restart: number;
  /** The least count that the server told; null where it told none. */
  leastCount: number | null;
  looks: number;
  marked: MarkedEvent[];
}

/** The whole audience loses its server at once, and comes back: how soon, and what it missed. The same for a hub of Node and `ws`. */
export const bench: Bench = async (args, run) => {
  const names = ["sockets", "subjects"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  for (const subject of options.subjects) {
    await scoped(run, async (scope) => measure(await subjects[subject](scope), options.sockets, scope));
  }
};

async function measure(hub: FragileHub, size: number, run: BenchRun): Promise<void> {
  const { countViewers, countReads } = hub;
  if (countViewers === null) throw new Error(`${hub.name} does not count`);
  const figures = new AudienceFigures(run, "storm", hub.name);
  const crowd = new Crowd(hub.targets(size), run.cleanup);
  run.say(`${hub.name}: ${size} sockets…`);
  await crowd.join();
  await sleep(SETTLE_MS);
  for (let mark = 1; mark <= MARKS_BEFORE; mark++) {
    const { delays } = await crowd.deliver(mark, () => hub.send(mark));
    if (delays.length !== size) throw new Error(`${delays.length} of ${size} clients had a message before the storm`);
  }

  run.say(`${hub.name}: killed, and started again…`);
  const killedAt = monotonicMs();
  hub.kill();
  const stop = new AbortController();
  const back = crowd.back(killedAt, BACK_TIMEOUT_MS).finally(() => stop.abort());
  const [moments, seen] = await Promise.all([back, observe(hub, countViewers, killedAt, stop.signal)]);
  const { error } = await checkCount(countViewers, 0, size);
  const reads = (await countReads?.()) ?? null;
  const lastMark = MARKS_BEFORE + seen.marked.length + 1;
  const { sent } = await crowd.deliver(lastMark, () => hub.send(lastMark));
  const { missing, holes, repeats, told } = await crowd.tally([...seen.marked, sent]);

  figures.emitPercentile("back_p50", moments, 0.5);
  figures.emitPercentile("back_p99", moments, 0.99);
  figures.emit("back_last", latest(moments), "s", moments.length);
  figures.emit("not_back", size - moments.length, "viewers", size);
  figures.emit("restart", seen.restart, "s", 1);
  figures.emit("count_error", error, "viewers", 1);
  if (seen.leastCount !== null) figures.emit("viewer_count_min", seen.leastCount, "viewers", seen.looks);
  figures.emit("lost", Math.max(missing, holes), "events", (seen.marked.length + 1) * size);
  figures.emit("told_of", told, "events", size);
  if (reads !== null) figures.emit("d1_reads", reads, "reads", size);
  const load = (loadavg()[0] ?? 0).toFixed(1);
  run.say(`${hub.name}: ${repeats} events came twice; load of the machine ${load}`);
}

/** Starts the server again, asks it for its count, and sends messages, until all are back. */
async function observe(hub: FragileHub, countViewers: () => Promise<number>, killedAt: number, back: AbortSignal): Promise<Comeback> {
  // It may answer before all of its start is done.
  const restarted = hub.restart();
  restarted.catch(() => undefined);
  let restart: number | null = null;
  let leastCount: number | null = null;
  let looks = 0;
  const marked: MarkedEvent[] = [];
  let nextSend = 0;
  while (!back.aborted) {
    const count = await countViewers().catch(() => null);
    if (count !== null) {
      restart ??= (monotonicMs() - killedAt) / 1000;
      leastCount = Math.min(leastCount ?? count, count);
      looks += 1;
      if (monotonicMs() >= nextSend) {
        nextSend = monotonicMs() + PACE_MS;
        const mark = MARKS_BEFORE + marked.length + 1;
        marked.push(await hub.send(mark));
      }
    }
    await sleep(LOOK_MS);
  }
  await restarted;
  if (restart === null) throw new Error(`${hub.name} did not answer again`);
  return { restart, leastCount, looks, marked };
}
