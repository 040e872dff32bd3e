import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import type { StreamList } from "../../domain/protocol/api/streams.ts";
import type { ApiLoad, ApiLoadAnswer } from "./rig/api-clients-process.ts";
import { ClientProcess } from "./rig/client-process.ts";
import { type Edge, startEdge } from "./rig/edge.ts";
import { type Bench, type BenchRun, percentile } from "./rig/figure.ts";
import type { HttpRequest } from "./rig/http-connection.ts";
import { OpenDatabase, type Statement } from "./rig/open-database.ts";
import { fillStreams } from "./rig/stream-rows.ts";

const Options = z.object({
  /** Streams of the account that asks. */
  streams: z.coerce.number().int().min(200).max(200_000).default(10_000),
  connections: z.coerce.number().int().min(1).max(64).default(16),
  /** How long each operation is measured, after a second to warm up. */
  seconds: z.coerce.number().int().min(1).max(600).default(5),
});
type Options = z.infer<typeof Options>;

/** An operation of the API, as it is measured. */
interface Operation {
  name: string;
  /** Each connection has its own of them. */
  requests: HttpRequest[];
  status: number;
  /** Which of the batches that it sends to D1 is also sent without our code, where that is to be compared. */
  isPeer?: (batch: Statement[]) => boolean;
}

const WARM_UP_MS = 1_000;
/** Others whose streams lie in the same tables. */
const OTHER_ACCOUNTS = ["other-1", "other-2"];
/** Made through the API: only these have objects, which `get` and `update` ask. */
const STREAMS_WITH_OBJECTS = 64;

/** What the API gets done over a full database, each operation beside the same statements of D1 without our code; fails where a query reads a whole table. */
export const bench: Bench = async (args, run) => {
  const names = ["streams", "connections", "seconds"] as const;
  const { values } = parseArgs({ args, options: Object.fromEntries(names.map((name) => [name, { type: "string" as const }])) });
  const { data: options, error } = Options.safeParse(values);
  if (error !== undefined) throw new Error(`the options are not right:\n${z.prettifyError(error)}`);
  const edge = await startEdge(run.cleanup, run.say, { wrapper: "open-d1" });
  const database = new OpenDatabase(edge);
  await fill(edge, database, options.streams, run);
  const clients = new ClientProcess(new URL("./rig/api-clients-process.ts", import.meta.url), run.cleanup);
  for (const operation of await operationsOf(edge, options)) {
    const batches = await hear(edge, database, operation, run);
    const load = { site: edge.site, connections: options.connections, warmUpMs: WARM_UP_MS, measureMs: options.seconds * 1000 };
    const measure = async (subject: string, requests: HttpRequest[], status: number) => {
      await database.settle();
      const { delays, seconds, bytes } = await clients.ask<ApiLoadAnswer>({ ...load, requests, status } satisfies ApiLoad);
      run.say(`${operation.name}, ${subject}: ${delays.length} answers of ${Math.round(bytes / Math.max(1, delays.length))} bytes`);
      const emit = (metric: string, value: number, unit: "1/s" | "s") =>
        run.emit({ bench: "api", subject, metric: `${operation.name}_${metric}`, value: Number(value.toFixed(4)), unit, n: delays.length });
      emit("rps", delays.length / seconds, "1/s");
      emit("p50", percentile(delays, 0.5), "s");
      emit("p99", percentile(delays, 0.99), "s");
    };
    await measure("nova", operation.requests, operation.status);
    const peer = batches.find((batch) => operation.isPeer?.(batch));
    if (peer === undefined) continue;
    const path = await database.keep(operation.name, peer, operation.name === "create");
    await measure("d1", [{ method: "GET", path }], 200);
  }
};

async function fill(edge: Edge, database: OpenDatabase, count: number, run: BenchRun): Promise<void> {
  const { ID_SECRET } = JSON.parse(readFileSync(join(edge.dataDir, "secrets.json"), "utf8")) as { ID_SECRET: string };
  run.say(`writing ${count} streams into D1, and half as many of other accounts…`);
  await fillStreams(database, "admin", count - STREAMS_WITH_OBJECTS, ID_SECRET);
  for (const account of OTHER_ACCOUNTS) await fillStreams(database, account, Math.round(count / 4), ID_SECRET);
}

async function operationsOf(edge: Edge, { streams, connections }: Options): Promise<Operation[]> {
  const headers = { Authorization: `Bearer ${edge.apiKey}` };
  const ids: string[] = [];
  while (ids.length < STREAMS_WITH_OBJECTS) ids.push((await edge.createStream({ title: `Stream ${ids.length}`, tags: ["news"] })).id);
  const list = (name: string, query: string): Operation => ({
    name,
    requests: [{ method: "GET", path: `/api/v1/streams${query}`, headers }],
    status: 200,
    isPeer: ([first]) => / from "stream(s|_tags)" /i.test(first?.sql ?? ""),
  });
  // Each connection changes streams of its own, so that none of them has to try again.
  const ofEach = (requestOf: (id: string) => HttpRequest) =>
    ids.slice(0, Math.max(connections, STREAMS_WITH_OBJECTS - (STREAMS_WITH_OBJECTS % connections))).map(requestOf);
  return [
    list("list", ""),
    list("list_middle", `?cursor=${await cursorAt(edge, Math.floor(streams / 2))}`),
    list("list_status", "?status=active"),
    list("list_tag", "?tag=radio"),
    list("list_viewers", "?sort=-viewer_count"),
    list("list_q", "?q=harbour%20festival"),
    {
      name: "get",
      requests: ofEach((id) => ({ method: "GET", path: `/api/v1/streams/${id}`, headers })),
      status: 200,
      isPeer: ([first]) => / from "streams" /i.test(first?.sql ?? ""),
    },
    {
      name: "update",
      requests: ofEach((id) => ({
        method: "PATCH",
        path: `/api/v1/streams/${id}`,
        headers,
        body: JSON.stringify({ title: "Changed by a bench" }),
      })),
      status: 200,
    },
    // Last: what its peer leaves behind would be work for the others.
    {
      name: "create",
      requests: [{ method: "POST", path: "/api/v1/streams", headers, body: JSON.stringify({ title: "Made by a bench", tags: ["news"] }) }],
      status: 201,
      isPeer: ([first]) => /^insert into "streams"/i.test(first?.sql ?? ""),
    },
  ];
}

/** The cursor that leads to the page after so many streams. */
async function cursorAt(edge: Edge, position: number): Promise<string> {
  let cursor = "";
  for (let seen = 0; seen < position; seen += 100) {
    const page = (await edge.api("GET", `/streams?limit=100${cursor === "" ? "" : `&cursor=${cursor}`}`)) as z.infer<typeof StreamList>;
    if (page.next_cursor === null) throw new Error(`the list ended after ${seen + page.streams.length} streams`);
    cursor = page.next_cursor;
  }
  return cursor;
}

/** What an operation sends to D1. Says how D1 goes about each of it, and throws where it reads a whole table. */
async function hear(edge: Edge, database: OpenDatabase, operation: Operation, run: BenchRun): Promise<Statement[][]> {
  const [request] = operation.requests;
  if (request === undefined) throw new Error(`${operation.name} asks nothing`);
  const batches = await database.hear(async () => {
    const answer = await fetch(edge.site + request.path, {
      method: request.method,
      headers: request.headers ?? {},
      ...(request.body === undefined ? {} : { body: request.body }),
    });
    if (answer.status !== operation.status) throw new Error(`${operation.name} was answered ${answer.status}: ${await answer.text()}`);
    await answer.arrayBuffer();
  });
  // What carries events on belongs to changes before this one, too.
  const statements = [...new Map(batches.flat().map((statement) => [statement.sql, statement])).values()];
  for (const [at, { sql, steps }] of (await database.explain(statements)).entries()) {
    const isRead = /^select/i.test(sql);
    const rows = isRead ? `, ${await database.countRowsRead(statements[at] as Statement)} rows read` : "";
    run.say(`${operation.name}: ${sql.replace(/\s+/g, " ").slice(0, 60)}…${rows}`);
    for (const step of steps) run.say(`    ${step}`);
  }
  return batches;
}
