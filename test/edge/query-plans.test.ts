import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { operations } from "../../workers/api/app.ts";
import { runUpkeep } from "../../workers/audit/upkeep.ts";
import { askWith } from "./account.ts";
import { askApi, OriginCalls } from "./edge.ts";
import { explain, hearQueries, type QueryPlan } from "./heard-queries.ts";
import { Internet } from "./webhooks-internet.ts";

/** A step that reads all rows of something; what json_each and constants make is no table. */
const WHOLE_TABLE = /^SCAN (?!json_each\b|\d*\s*CONSTANT ROWS?|\(|.*VIRTUAL TABLE)/;
/** Statements that begin at an end of their table and stop after a few rows, and tables that stay small. */
const BOUNDED = [
  // Whether D1 answers.
  /^SELECT 1 FROM accounts LIMIT 1$/,
  // One row for a thousand events.
  /FROM archive_objects\b/,
];
const MINUTE_MS = 60_000;
const CURSOR_ID = "0".repeat(24);

let internet: Internet;
/** What has been asked for so far, by `operationId`. */
const asked = new Set<string>();
const plans: QueryPlan[] = [];

async function keepPlans(act: () => Promise<unknown>): Promise<QueryPlan[]> {
  const found = await Promise.all((await hearQueries(act)).map(explain));
  plans.push(...found);
  return found;
}

/** The steps of a plan that read a table of ours, or an index of it, from one end to the other. */
function scansOf({ steps }: QueryPlan): string[] {
  const lists = steps.flatMap((step) => /^(?:MATERIALIZE|CO-ROUTINE) (\w+)$/.exec(step)?.[1] ?? []);
  return steps.filter((step) => WHOLE_TABLE.test(step) && !lists.some((list) => step === `SCAN ${list}`));
}

/** The indexes that plans search a table by, each once. */
function indexesOf(table: string, of: QueryPlan[]): string[] {
  const uses = of.flatMap(({ steps }) => steps.flatMap((step) => new RegExp(`^SEARCH ${table} .*?INDEX (\\w+)`).exec(step)?.[1] ?? []));
  return [...new Set(uses)];
}

beforeAll(() => {
  internet = new Internet();
});
afterAll(() => internet.restore());

describe("lists of streams", () => {
  it.each([
    ["?limit=50", "streams_account_created"],
    ["?sort=created_at", "streams_account_created"],
    ["?status=active", "streams_account_status"],
    ["?sort=-viewer_count", "streams_account_viewers"],
    ["?sort=viewer_count&tag=news", "streams_account_viewers"],
    ["?q=morning", "streams_account_created"],
    [`?cursor=-created_at.1700000000000.${CURSOR_ID}`, "streams_account_created"],
    [`?sort=-viewer_count&cursor=-viewer_count.12.${CURSOR_ID}`, "streams_account_viewers"],
  ])("%s goes along %s, in its order", async (query, index) => {
    const found = await keepPlans(() => askApi("GET", `/api/v1/streams${query}`));
    expect(indexesOf("streams", found)).toEqual([index]);
    // Nothing is sorted, so that a page costs what is on it.
    expect(found.flatMap(({ steps }) => steps).filter((step) => step.includes("TEMP B-TREE"))).toEqual([]);
    if (query.includes("cursor=")) {
      // The page begins where the cursor says, not at the first row.
      expect(found.flatMap(({ steps }) => steps).join()).toMatch(/account_id=\? AND \(\w+,id\)<\(\?,\?\)/);
    }
  });
});

describe("everything that is asked of D1", () => {
  beforeAll(() => keepPlans(useEverything), 60_000);

  it("was asked for by every operation of the API", () => {
    const all = operations.openAPIRegistry.definitions.flatMap((definition) =>
      definition.type === "route" ? [definition.route.operationId ?? definition.route.path] : [],
    );
    expect(all.filter((operation) => !asked.has(operation))).toEqual([]);
  });

  it("reads no whole table", () => {
    expect(plans.filter((plan) => scansOf(plan).length > 0 && !BOUNDED.some((one) => one.test(plan.sql)))).toEqual([]);
  });

  it("would be noticed, if it did", async () => {
    expect(scansOf(await explain("SELECT id FROM streams WHERE title = ?"))).toEqual(["SCAN streams"]);
    expect(scansOf(await explain("SELECT id FROM streams ORDER BY reconciled_at"))).toEqual([
      "SCAN streams USING INDEX streams_reconciled",
    ]);
  });

  it("uses every index that is not there to keep things unique", async () => {
    const wanted = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE 'CREATE INDEX%'";
    const { results } = await env.DB.prepare(wanted).all<{ name: string }>();
    const used = plans.flatMap(({ steps }) => steps).join("\n");
    expect(results.length).toBeGreaterThan(10);
    expect(results.filter(({ name }) => !new RegExp(`INDEX ${name}\\b`).test(used))).toEqual([]);
  });
});

/** Does all that the API offers, all that an encoder does, and what happens by itself. */
async function useEverything(): Promise<void> {
  const account = await call<{ id: string }>(askApi, "createAccount", "POST", "/accounts", { name: "Planned" });
  await callTwoPages(askApi, "listAccounts", "/accounts?");
  await call(askApi, "getAccount", "GET", `/accounts/${account.id}`);
  const scopes = ["streams:read", "streams:write", "keys:write"];
  const path = `/accounts/${account.id}/api-keys`;
  const made = await call<{ key: string }>(askApi, "createAccountApiKey", "POST", path, { name: "Key", scopes });
  const ask = askWith(made.key);
  await call(ask, "getMe", "GET", "/me");
  await useApiKeys(ask);
  await useWebhooks(ask);
  await useStream(ask);
  await call(askApi, "listEventArchive", "GET", "/events/archive?verify=true");
  await call(askApi, "listEventArchive", "GET", "/events/archive?after=1");
}

type Ask = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Response>;

/** Carries out an operation, which has to succeed. */
async function call<Body>(
  ask: Ask,
  operation: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Body> {
  const answer = await ask(method, `/api/v1${path}`, body, headers);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  asked.add(operation);
  return (text === "" ? null : JSON.parse(text)) as Body;
}

/** The first two pages of a list that has them. `path` ends with `?` or `&`. */
async function callTwoPages(ask: Ask, operation: string, path: string): Promise<void> {
  const { next_cursor } = await call<{ next_cursor: string | null }>(ask, operation, "GET", `${path}limit=1`);
  if (next_cursor === null) throw new Error(`${path} has one page only`);
  await call(ask, operation, "GET", `${path}limit=1&cursor=${next_cursor}`);
}

async function useApiKeys(ask: Ask): Promise<void> {
  const created = await call<{ id: string }>(ask, "createApiKey", "POST", "/api-keys", { name: "Other", scopes: ["streams:read"] });
  await callTwoPages(ask, "listApiKeys", "/api-keys?");
  await call(ask, "getApiKey", "GET", `/api-keys/${created.id}`);
  const rotated = await call<{ id: string }>(ask, "rotateApiKey", "POST", `/api-keys/${created.id}/rotate`, { overlap_seconds: 60 });
  await call(ask, "revokeApiKey", "DELETE", `/api-keys/${rotated.id}`);
}

async function useWebhooks(ask: Ask): Promise<void> {
  const body = { url: "https://hooks.example.com/nova" };
  const { id } = await call<{ id: string }>(ask, "createWebhook", "POST", "/webhooks", body, { "Idempotency-Key": "planned" });
  await call(ask, "createWebhook", "POST", "/webhooks", body, { "Idempotency-Key": "planned" });
  await call(ask, "listWebhooks", "GET", "/webhooks");
  await call(ask, "getWebhook", "GET", `/webhooks/${id}`);
  await call(ask, "updateWebhook", "PATCH", `/webhooks/${id}`, { description: "Planned" });
  await call(ask, "rotateWebhookSecret", "POST", `/webhooks/${id}/rotate-secret`, {});
  const delivery = await call<{ id: string }>(ask, "testWebhook", "POST", `/webhooks/${id}/test`);
  await call(ask, "testWebhook", "POST", `/webhooks/${id}/test`);
  await callTwoPages(ask, "listDeliveries", `/webhooks/${id}/deliveries?`);
  await callTwoPages(ask, "listDeliveries", `/webhooks/${id}/deliveries?status=delivered&`);
  await call(ask, "getDelivery", "GET", `/webhooks/${id}/deliveries/${delivery.id}`);
  await call(ask, "redeliver", "POST", `/webhooks/${id}/deliveries/${delivery.id}/redeliver`);
  const gone = await call<{ id: string }>(ask, "createWebhook", "POST", "/webhooks", body);
  await call(ask, "deleteWebhook", "DELETE", `/webhooks/${gone.id}`);
}

async function useStream(ask: Ask): Promise<void> {
  const { id, stream_key } = await call<{ id: string; stream_key: string }>(ask, "createStream", "POST", "/streams", {
    title: "Planned",
    tags: ["a", "b"],
    visibility: "signed",
  });
  await call(ask, "listStreams", "GET", "/streams");
  await call(ask, "getStream", "GET", `/streams/${id}`);
  await call(ask, "updateStream", "PATCH", `/streams/${id}`, { title: "Changed", tags: ["c"] });
  const key = await call<{ id: string }>(ask, "createStreamKey", "POST", `/streams/${id}/keys`, { label: "Other" });
  await call(ask, "listStreamKeys", "GET", `/streams/${id}/keys`);
  await call(ask, "rotateStreamKey", "POST", `/streams/${id}/keys/${key.id}/rotate`, {});
  await call(ask, "revokeStreamKey", "DELETE", `/streams/${id}/keys/${key.id}`);
  await call(ask, "createPlaybackToken", "POST", `/streams/${id}/playback-tokens`, {});
  const encoder = await OriginCalls.publish(stream_key);
  await encoder.begin();
  await encoder.pushSegments(1, 1);
  await call(ask, "sendMetadata", "POST", `/streams/${id}/metadata`, { payload: 1 });
  await call(ask, "listViewers", "GET", `/streams/${id}/viewers`);
  await call(ask, "getStreamMetrics", "GET", `/streams/${id}/metrics`);
  await call(ask, "getStreamAnalytics", "GET", `/streams/${id}/analytics`);
  await askApi("GET", `/watch/${id}`);
  await askApi("GET", "/ready");
  await runUpkeep(env, Date.now() + 120 * MINUTE_MS);
  await encoder.end("unpublished");
  const recorded = () => call<{ events: { type: string }[] }>(ask, "listEvents", "GET", `/events?stream_id=${id}`);
  await vi.waitUntil(async () => (await recorded()).events.some(({ type }) => type === "broadcast.started"), { timeout: 20_000 });
  for (const query of [
    "?limit=1",
    "?after=1&type=stream.created",
    "?type=stream.created",
    "?order=desc&after=1",
    `?stream_id=${id}&type=stream.created`,
  ]) {
    await call(ask, "listEvents", "GET", `/events${query}`);
  }
  await call(ask, "deleteStream", "DELETE", `/streams/${id}`);
  await runUpkeep(env, Date.now() + 240 * MINUTE_MS);
}
