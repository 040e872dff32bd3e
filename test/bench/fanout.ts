import { loadavg } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { AudienceFigures } from "./rig/audience-figure.ts";
import { checkCount } from "./rig/count-check.ts";
import { Crowd, latest } from "./rig/crowd.ts";
import type { MarkedEvent } from "./rig/event-ledger.ts";
import { type Bench, type BenchRun, scoped } from "./rig/figure.ts";
import type { Hub } from "./rig/hub.ts";
import { monotonicMs } from "./rig/monotonic.ts";
import { startNchan } from "./rig/nchan.ts";
import { startNovaHub, startSpreadNovaHub } from "./rig/nova-hub.ts";
import { startWsHub } from "./rig/ws-hub.ts";

const subjects = {
  nova: (run: BenchRun) => startNovaHub(false, run),
  nchan: startNchan,
  ws: (run: BenchRun) => startWsHub(false, run),
};

const list = (text: string) => text.split(",");
const Options = z.object({
  /** Sizes of the audiences, one after another. */
  sockets: z
    .string()
    .transform((text) => list(text).map(Number))
    .pipe(z.array(z.number().int().min(1).max(18_000)).min(1))
    .optional(),
  /** Messages that are measured. */
  broadcasts: z.coerce.number().int().min(1).max(1_000).default(25),
  /** Whether to measure an audience of the first size that is spread over shards in two processes, and nothing else. */
  shards: z.boolean().default(false),
  subjects: z
    .string()
    .default("nova,nchan,ws")
    .transform(list)
    .pipe(z.array(z.enum(["nova", "nchan", "ws"])).min(1)),
});
type Options = z.infer<typeof Options>;

const SOCKETS = [1_000, 5_000, 9_000];
const SPREAD_SOCKETS = 12_000;
/** The share of a spread audience that is at the stream's own object. */
const ROOT_SHARE = 1 / 3;
/** Messages before the measurement: code warms up. */
const WARM_UP = 3;
/** From one message to the next: the platform takes five a second. */
const PACE_MS = 500;
/** After the last has joined: what joining set off is over. */
const SETTLE_MS = 3_000;
/** The share of an audience that leaves at once to see how fast the count follows. */
const LEAVING_SHARE = 0.1;

/** From a message's sending to everybody's having it, for audiences at one object; the same for nchan and for a hub of Node and `ws`. */
export const bench: Bench = async (args, run) => {
  const names = ["sockets", "broadcasts", "subjects"] as const;
  const texts = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  const { values } = parseArgs({ args, options: { ...texts, shards: { type: "boolean" } } });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  if (options.shards) {
    const [size = SPREAD_SOCKETS] = options.sockets ?? [];
    const rootSockets = Math.floor(size * ROOT_SHARE);
    return scoped(run, async (scope) => measure(await startSpreadNovaHub(rootSockets, scope), size, options, scope));
  }
  for (const size of options.sockets ?? SOCKETS) {
    for (const subject of options.subjects) {
      await scoped(run, async (scope) => measure(await subjects[subject](scope), size, options, scope));
    }
  }
};

async function measure(hub: Hub, size: number, options: Options, run: BenchRun): Promise<void> {
  const figures = new AudienceFigures(run, "fanout", hub.name);
  const crowd = new Crowd(hub.targets(size), run.cleanup);
  const emptyMb = hub.readMemoryMb();
  run.say(`${hub.name}: ${size} sockets…`);
  const joinSeconds = await crowd.join();
  figures.emit(`connect_rate_${size}`, size / joinSeconds, "1/s", size);
  await sleep(SETTLE_MS);
  const joined = hub.countViewers === null ? null : await checkCount(hub.countViewers, 0, size);

  const marked: MarkedEvent[] = [];
  const rounds: number[][] = [];
  for (let mark = 1; mark <= WARM_UP + options.broadcasts; mark++) {
    const started = monotonicMs();
    const { delays, sent } = await crowd.deliver(mark, () => hub.send(mark));
    marked.push(sent);
    if (mark > WARM_UP) rounds.push(delays);
    await sleep(Math.max(0, started + PACE_MS - monotonicMs()));
  }
  const memoryMb = hub.readMemoryMb();
  const { missing, holes, repeats, lostSockets, firstLoss } = await crowd.tally(marked);
  const all = rounds.flat();
  const last = rounds.filter((delays) => delays.length === size).map(latest);
  figures.emitPercentile(`p50_${size}`, all, 0.5);
  figures.emitPercentile(`p99_${size}`, all, 0.99);
  figures.emitPercentile(`last_p50_${size}`, last, 0.5);
  figures.emitPercentile(`last_p99_${size}`, last, 0.99);
  figures.emit(`memory_${size}`, memoryMb, "MB", 1);
  figures.emit(`lost_${size}`, Math.max(missing, holes), "events", marked.length * size);
  const load = (loadavg()[0] ?? 0).toFixed(1);
  run.say(`${hub.name}: ${emptyMb.toFixed(0)} MB without sockets; ${repeats} events came twice; load of the machine ${load}`);
  if (lostSockets > 0) run.say(`${hub.name}: ${lostSockets} sockets ended, the first because: ${firstLoss}`);
  if (joined === null || hub.countViewers === null) return;

  const leaving = Math.ceil(size * LEAVING_SHARE);
  const leaves = crowd.leave(leaving);
  const left = await checkCount(hub.countViewers, size, size - leaving);
  const unanswered = await leaves;
  if (unanswered > 0) run.say(`${hub.name}: the server did not answer the close of ${unanswered} of ${leaving} sockets`);
  figures.emit(`count_error_${size}`, Math.max(joined.error, left.error), "viewers", 2);
  if (left.delay === null) run.say(`${hub.name}: the count was never right after ${leaving} had left`);
  else figures.emit(`count_delay_${size}`, left.delay, "s", leaving);
}
