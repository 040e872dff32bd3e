import type { StreamResource } from "../../../domain/protocol/api/streams.ts";
import { localSocketLimit } from "../../../scripts/local/socket-limit.ts";
import { type Edge, startEdge } from "./edge.ts";
import type { BenchRun } from "./figure.ts";
import { call, type FragileHub, type Hub, markedPayload } from "./hub.ts";
import { readProcessTree } from "./process-usage.ts";
import { PushedFeed, VIDEO_FEED } from "./pushed-feed.ts";

/** More than any bench has, in one process: what the runtime can hold is the limit. */
const VARS = { MAX_SOCKETS: "9600", SHARD_THRESHOLD: "20000" };
const SEGMENTS_BEFORE = 3;

/** Starts an edge with one live stream, whose audience is on one object. */
export async function startNovaHub(comesBack: boolean, run: BenchRun): Promise<FragileHub> {
  const edge = await startEdge(run.cleanup, run.say, { vars: VARS, ...(comesBack ? { wrapper: "counted-d1" as const } : {}) });
  const path = await startStream(edge, run);
  return {
    ...describeHub([edge], path),
    targets: (size) => [{ size: fitting(size), target: { site: edge.site, path: socketPath(path), greets: true, comesBack } }],
    kill: () => edge.kill(),
    restart: () => edge.restart(),
    countReads: comesBack ? () => countSocketReads(edge) : null,
  };
}

/** Starts two edges with one live stream: `rootSockets` of its audience at its own object in one process, all others at shards in the other. */
export async function startSpreadNovaHub(rootSockets: number, run: BenchRun): Promise<Hub> {
  const vars = { ...VARS, SHARD_THRESHOLD: String(rootSockets) };
  const root = await startEdge(run.cleanup, run.say, { vars, part: { role: "root" } });
  const shards = await startEdge(run.cleanup, run.say, { vars, part: { role: "shards", root } });
  const path = await startStream(root, run);
  const target = ({ site }: Edge) => ({ site, path: socketPath(path), greets: true, comesBack: false });
  return {
    ...describeHub([root, shards], path),
    targets: (size) => [
      { size: fitting(rootSockets), target: target(root) },
      { size: fitting(size - rootSockets), target: target(shards) },
    ],
  };
}

/** The API's path of a new stream, which is live. */
async function startStream(edge: Edge, run: BenchRun): Promise<string> {
  const stream = await edge.createStream({ title: "Audience" });
  const feed = await PushedFeed.start(edge, stream.stream_key, [VIDEO_FEED], SEGMENTS_BEFORE);
  run.cleanup.add(() => feed.stop());
  return `/streams/${stream.id}`;
}

function socketPath(path: string): string {
  return `/api/v1${path}/ws?viewer={viewer}`;
}

/** How many sockets one process is to hold. Throws where it cannot. */
function fitting(size: number): number {
  const most = localSocketLimit();
  if (size > most) throw new Error(`one process takes ${most} sockets here, not ${size}: raise its limit of open files (ulimit -Hn)`);
  return size;
}

/** Reads of D1 for sockets. Throws where those for the API were not counted either. */
async function countSocketReads(edge: Edge): Promise<number> {
  const { sockets, others } = (await call(`${edge.site}/bench/d1`)) as { sockets: { reads: number }; others: { reads: number } };
  if (others.reads === 0) throw new Error("the API has been asked, and no read of D1 was counted");
  return sockets.reads;
}

/** All but where clients connect; the first edge has the stream. */
function describeHub(edges: [Edge, ...Edge[]], path: string): Omit<Hub, "targets"> & { countViewers: () => Promise<number> } {
  const [edge] = edges;
  return {
    name: "nova",
    send: async (mark) => {
      const { seq } = (await edge.api("POST", `${path}/metadata`, { payload: markedPayload(mark) })) as { seq: number };
      return { mark, seq };
    },
    countViewers: async () => ((await edge.api("GET", path)) as StreamResource).viewer_count,
    readMemoryMb: () =>
      edges
        .flatMap(({ pid }) => readProcessTree(pid))
        .filter(({ command }) => command === "workerd")
        .reduce((sum, { rssMb }) => sum + rssMb, 0),
  };
}
