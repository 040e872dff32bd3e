import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import type { JsonSchema, OpenApiObject } from "../../workers/api/document/openapi-object.ts";
import { type ApiCall, answerSchema, faultsOf, Line, operationsOf, type PlacedOperation } from "../fakes/api/api-call.ts";
import { damages } from "../fakes/api/broken-calls.ts";
import { KnownThings } from "../fakes/api/known-things.ts";
import { ValidCalls } from "../fakes/api/valid-calls.ts";
import { type Encoder, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";
import { SchemaCheck } from "../fakes/schema-check.ts";

/** Another run: `API_SEED=n`. */
const SEED = Number(process.env.API_SEED ?? 20_261_121);
/** How often each operation is asked what it takes. */
const ROUNDS = 6;
const BROKEN_CALLS = 2_000;
const BROKEN_MS = 20_000;
const ADMIN = { Authorization: "Bearer platform-admin-key" };

let platform: Platform;
let document: OpenApiObject;
let operations: PlacedOperation[];
let check: SchemaCheck;
let known: KnownThings;
let calls: ValidCalls;
let line: Line;
let encoder: Encoder;
let live: string;
const keep = new Set<string>();
/** Where webhooks deliver to, and what looks names up: every name is unknown. */
const servers: Server[] = [];

function listen(answer: (server: Server) => void): Promise<string> {
  const server = createServer();
  answer(server);
  servers.push(server);
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
}

beforeAll(async () => {
  console.log(`API_SEED=${SEED}`);
  const receiver = await listen((server) =>
    server.on("request", (request, response) => request.resume().on("end", () => response.end("thanks"))),
  );
  const resolver = await listen((server) => server.on("request", (_, response) => response.end(JSON.stringify({ Status: 3 }))));
  platform = await startPlatform({ vars: { DNS_URL: `${resolver}/dns-query` } });
  document = (await (await fetch(`${platform.site}/openapi.json`)).json()) as OpenApiObject;
  operations = operationsOf(document);
  check = new SchemaCheck(document);
  line = new Line(platform.site);
  const stream = await platform.createStream({ title: "Live all the time" });
  live = stream.id;
  keep.add(live);
  encoder = startEncoder(platform.rtmpPort, stream.stream_key, { fps: 10, size: "160x90" });
  await vi.waitUntil(async () => (await platform.getStream(live)).status === "active", { timeout: 20_000, interval: 100 });
  known = new KnownThings(operations, keep);
  calls = new ValidCalls(document, ADMIN, {
    url: fc.nat({ max: 9 }).map((hook) => `${receiver}/hooks/${hook}`),
    scopes: fc.uniqueArray(fc.constantFrom("streams:read", "streams:write", "keys:write"), { minLength: 1 }),
    stream_id: fc.constant(live),
    not_before: fc.constant(new Date(Date.now() + 3_600_000).toISOString()),
    at: fc.constant("2026-05-02T18:25:00.000Z"),
    broadcast: fc.constantFrom(1, 1, 2),
    "If-Match": fc.constantFrom("*", '"1"', '"2"'),
    "Idempotency-Key": fc.uuid(),
    payload: fc.jsonValue({ maxDepth: 4 }).filter((value) => JSON.stringify(value).length < 1_000),
    resume: fc.constant("7d3c3a54-4d4f-4a52-9d0e-0d0f3f0c8f11.41"),
    token: fc.constant("a.b.c"),
  });
});

afterAll(async () => {
  line?.close();
  await encoder?.stop();
  await platform?.stop();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

/** Sends a call, learns from its answer, and throws where the answer is not as the document says. */
async function hold(call: ApiCall): Promise<number> {
  const answer = await line.send(call);
  const faults = faultsOf(document, check, call, answer);
  if (faults.length > 0) {
    const { method, target, headers, body } = call;
    const { Authorization, ...others } = headers;
    const sent = {
      method,
      target: target.slice(0, 300),
      headers: { ...others, ...(Authorization === ADMIN.Authorization ? {} : { Authorization }) },
    };
    const text = body === null ? null : new TextDecoder().decode(body).slice(0, 600);
    throw new Error(
      `${faults.join("; ")}\n${JSON.stringify({ sent, body: text, answer: { ...answer, text: answer.text.slice(0, 600) } }, null, 1)}`,
    );
  }
  known.learn(call, answer);
  return answer.status;
}

/** What is said of the stream that is live is only about it: the others come and go. */
function onLive(call: ApiCall): ApiCall {
  if (!/\/(metadata|metrics|analytics|viewers)$/.test(call.operation?.path ?? "")) return call;
  const { id: former = "", ...params } = call.params;
  return { ...call, params: { ...params, id: live }, target: call.target.replace(encodeURIComponent(former), live) };
}

it("answers what the document takes as the document says, every operation with its success", { timeout: 120_000 }, async () => {
  const seen = new Map<string, Set<number>>();
  // What takes away comes last, so that there is something to take.
  const order = [...operations].sort((a, b) => Number(a.method === "DELETE") - Number(b.method === "DELETE"));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, operation] of order.entries()) {
      for (const plan of fc.sample(calls.of(operation), {
        seed: SEED + round * 1_000 + at,
        numRuns: operation.method === "DELETE" ? 1 : 3,
      })) {
        const call = plan(known);
        const status = await hold(round % 2 === 0 ? onLive(call) : call);
        seen.set(operation.operationId, (seen.get(operation.operationId) ?? new Set()).add(status));
      }
    }
  }
  const never = operations
    // A socket opens below; none of the rest needs more than what was made here.
    .filter(({ operationId }) => operationId !== "openSocket")
    .filter(({ operationId }) => ![...(seen.get(operationId) ?? [])].some((status) => status < 300))
    .map(({ operationId }) => [operationId, [...(seen.get(operationId) ?? [])]]);
  expect(never).toEqual([]);
});

it("refuses what is wrong as the document says, and never breaks", { timeout: 120_000 }, async () => {
  const plans = fc.oneof(...operations.map((operation) => calls.of(operation)));
  const broken = fc.tuple(plans, fc.array(damages(check), { minLength: 1, maxLength: 2 }));
  const found = await fc.check(
    fc.asyncProperty(broken, async ([plan, harm]) => {
      await hold(harm.reduce((call, damage) => damage(call), plan(known)));
    }),
    { seed: SEED, numRuns: BROKEN_CALLS, interruptAfterTimeLimit: BROKEN_MS, markInterruptAsFailure: false },
  );
  if (found.failed) throw found.errorInstance;
  console.log(`${found.numRuns} broken calls`);
});

it("sends the WebSocket's messages as the document has them", { timeout: 60_000 }, async () => {
  const operation = operations.find(({ operationId }) => operationId === "openSocket") as PlacedOperation;
  expect(answerSchema(document, operation, 101)).toBeNull();
  const { server } = (operation as unknown as { "x-websocket-messages": { server: { name: string; schema: JsonSchema }[] } })[
    "x-websocket-messages"
  ];
  const frames: string[] = [];
  const socket = new WebSocket(`${platform.site.replace("http", "ws")}/api/v1/streams/${live}/ws?viewer=property-test-1`);
  socket.on("message", (data) => frames.push(String(data)));
  const names = () => frames.map((text) => (text.startsWith("{") ? (JSON.parse(text) as { event: string }).event : text));
  await expect.poll(names, { timeout: 5_000 }).toContain("connection_established");
  socket.send("ping");
  await platform.sendMetadata(live, { goal: "1:0" });
  await platform.api.streams[":id"].$patch({ param: { id: live }, json: { title: "Still live" } });
  for (const name of ["pong", "timed_metadata", "stream_updated", "bitrate_update", "viewer_count_changed"]) {
    await expect.poll(names, { timeout: 10_000 }).toContain(name);
  }
  await platform.deleteStream(live);
  await expect.poll(names, { timeout: 10_000 }).toContain("stream_ended");
  socket.send("not a message");
  await expect.poll(names, { timeout: 10_000 }).toContain("error");
  socket.close();
  for (const [at, name] of names().entries()) {
    const text = frames[at] as string;
    const schema = server.find((message) => message.name === name)?.schema;
    expect([name, schema && check.problems(schema, name === "pong" ? text : JSON.parse(text))]).toEqual([name, []]);
  }
});
