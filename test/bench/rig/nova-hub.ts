import type { StreamResource } from "../../../domain/protocol/api.ts";
import { startEdge } from "./edge.ts";
import type { BenchRun } from "./figure.ts";
import { call, type FragileHub, markedPayload } from "./hub.ts";
import { readProcessTree } from "./process-usage.ts";
import { PushedFeed, VIDEO_FEED } from "./pushed-feed.ts";

/** More than any bench has, in one process: what the runtime can hold is the limit. */
const VARS = { MAX_SOCKETS: "9600", SHARD_THRESHOLD: "20000" };
const SEGMENTS_BEFORE = 3;

/** Starts an edge with one live stream, whose audience is on one object. */
export async function startNovaHub(comesBack: boolean, run: BenchRun): Promise<FragileHub> {
  const edge = await startEdge(run.cleanup, run.say, { vars: VARS, countsQueries: comesBack });
  const stream = await edge.createStream({ title: "Audience" });
  const feed = await PushedFeed.start(edge, stream.stream_key, [VIDEO_FEED], SEGMENTS_BEFORE);
  run.cleanup.add(() => feed.stop());
  const path = `/streams/${stream.id}`;
  return {
    name: "nova",
    target: { site: edge.site, path: `/api/v1${path}/ws?viewer={viewer}`, greets: true, comesBack },
    send: async (mark) => {
      const { seq } = (await edge.api("POST", `${path}/metadata`, { payload: markedPayload(mark) })) as { seq: number };
      return { mark, seq };
    },
    countViewers: async () => ((await edge.api("GET", path)) as StreamResource).viewer_count,
    readMemoryMb: () =>
      readProcessTree(edge.pid)
        .filter(({ command }) => command === "workerd")
        .reduce((sum, { rssMb }) => sum + rssMb, 0),
    kill: () => edge.kill(),
    restart: () => edge.restart(),
    countReads: comesBack ? async () => ((await call(`${edge.site}/bench/d1`)) as { sockets: { reads: number } }).sockets.reads : null,
  };
}
