import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { ClientProcess } from "./rig/client-process.ts";
import { startEdge } from "./rig/edge.ts";
import { type Bench, type BenchRun, percentile, scoped } from "./rig/figure.ts";
import type { CollectAnswer, HoldAnswer, HoldersQuestion } from "./rig/holders-process.ts";
import { monotonicMs } from "./rig/monotonic.ts";
import { PART_MS, PushedFeed, VIDEO_FEED } from "./rig/pushed-feed.ts";
import { findFreePort, ServerProcess } from "./rig/server-process.ts";

const Options = z.object({
  /** Requests that wait for each part. */
  held: z.coerce.number().int().min(1).max(5_000).default(1_000),
  /** Parts that are measured. */
  parts: z.coerce.number().int().min(1).max(10_000).default(24),
});
type Options = z.infer<typeof Options>;

/** A server that is asked for what is not there yet. */
interface Subject {
  name: string;
  site: string;
  /** Where to wait for the next part. */
  next(): string;
  /** Pushes the part that is waited for. When it went out, by `monotonicMs()`, and what an answer with it contains. */
  push(): Promise<{ sentAt: number; mark: string }>;
  /** What is to be done before anybody waits again. */
  settle(): Promise<void>;
}

/** How one part woke those who waited for it, s from its going out. */
interface Wake {
  delays: number[];
  bytes: number;
}

const SEGMENTS_BEFORE = 12;
/** Parts before the measurement: connections open, code warms up. */
const WARM_UP_PARTS = 3;
const SETTLE_MS = 200;

/** How fast held playlist reloads are answered when their part arrives; the same for a plain Node hub that holds requests. */
export const bench: Bench = async (args, run) => {
  const names = ["held", "parts"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  let bytes = 0;
  await scoped(run, async (scope) => {
    bytes = await measure(await startNova(scope), options, scope);
  });
  await scoped(run, async (scope) => {
    await measure(await startHub(bytes, scope), options, scope);
  });
};

async function startNova(run: BenchRun): Promise<Subject> {
  const edge = await startEdge(run.cleanup, run.say);
  const stream = await edge.createStream({ title: "Blocking" });
  const feed = await PushedFeed.start(edge, stream.stream_key, [VIDEO_FEED], SEGMENTS_BEFORE);
  run.cleanup.add(() => feed.stop());
  const playlist = `/hls/${stream.id}/${feed.broadcast}/${VIDEO_FEED.track.name}/index.m3u8`;
  return {
    name: "nova",
    site: edge.site,
    next: () => {
      const { msn, part } = feed.next;
      return `${playlist}?_HLS_msn=${msn}&_HLS_part=${part}&_HLS_skip=YES`;
    },
    push: async () => {
      const { sentAt } = await feed.pushPart();
      // The part after the one that was pushed is the one that is hinted at.
      return { sentAt, mark: `-${feed.next.msn}.${feed.next.part}.m4s"` };
    },
    settle: () => feed.closeSegment(),
  };
}

/** `bytes`: how long its answers are. */
async function startHub(bytes: number, run: BenchRun): Promise<Subject> {
  const port = await findFreePort();
  const script = fileURLToPath(new URL("./rig/hub-process.ts", import.meta.url));
  const server = new ServerProcess(process.execPath, [script], { PORT: String(port) });
  run.cleanup.add(() => server.stop());
  await server.ready();
  const site = `http://127.0.0.1:${port}`;
  const put = async (path: string, body: Buffer<ArrayBuffer>) => {
    const answer = await fetch(site + path, { method: "PUT", body, signal: AbortSignal.timeout(10_000) });
    await answer.arrayBuffer();
  };
  await put("/playlist", Buffer.alloc(bytes, "x"));
  return {
    name: "node-http",
    site,
    next: () => "/playlist",
    push: async () => {
      const part = randomBytes((VIDEO_FEED.kbps * PART_MS) / 8);
      const sentAt = monotonicMs();
      await put("/part", part);
      return { sentAt, mark: "x" };
    },
    settle: async () => undefined,
  };
}

/** Emits the figures of a subject; returns how many bytes an answer had. Rejects where not all were held, or not all answered with the part. */
async function measure(subject: Subject, options: Options, run: BenchRun): Promise<number> {
  run.say(`${subject.name}: ${options.parts} parts, each with ${options.held} requests waiting…`);
  const clients = new ClientProcess(new URL("./rig/holders-process.ts", import.meta.url), run.cleanup);
  const wakes: Wake[] = [];
  for (let part = -WARM_UP_PARTS; part < options.parts; part++) {
    const started = monotonicMs();
    const wake = await wakeAll(subject, options.held, clients);
    if (part >= 0) wakes.push(wake);
    await sleep(Math.max(0, started + PART_MS - monotonicMs()));
  }
  const all = wakes.flatMap(({ delays }) => delays);
  const last = wakes.map(({ delays }) => Math.max(...delays));
  const emit = (metric: string, value: number, n: number) =>
    run.emit({ bench: "blocking", subject: subject.name, metric, value: Math.round(value * 10_000) / 10_000, unit: "s", n });
  emit("p50", percentile(all, 0.5), all.length);
  emit("p99", percentile(all, 0.99), all.length);
  emit(
    "first_p50",
    percentile(
      wakes.map(({ delays }) => Math.min(...delays)),
      0.5,
    ),
    wakes.length,
  );
  emit("last_p50", percentile(last, 0.5), wakes.length);
  return wakes[0]?.bytes ?? 0;
}

async function wakeAll(subject: Subject, count: number, clients: ClientProcess): Promise<Wake> {
  const ask = <Answer>(question: HoldersQuestion) => clients.ask<Answer>(question);
  const { held } = await ask<HoldAnswer>({ kind: "hold", site: subject.site, path: subject.next(), count, settleMs: SETTLE_MS });
  if (held !== count) throw new Error(`${subject.name} holds ${held} of ${count} requests`);
  const { sentAt, mark } = await subject.push();
  const { at, bytes } = await ask<CollectAnswer>({ kind: "collect", mark });
  await subject.settle();
  return { delays: at.map((arrived) => (arrived - sentAt) / 1000), bytes };
}
