import { beforeAll, describe, expect, it } from "vitest";
import { askApi, createStream, OriginCalls } from "./edge.ts";
import { explain, hearQueries, type QueryPlan } from "./heard-queries.ts";

/** A step that reads every row of a table or of an index of ours; what json_each, constants and subqueries make is none. */
const WHOLE_TABLE = /^SCAN (?!json_each\b|\d*\s*CONSTANT ROWS?|\(|.*VIRTUAL TABLE)/;

const plans: QueryPlan[] = [];
let stream: { id: string; stream_key: string };

/** Asks the API, and keeps the plans of what it asked D1. */
async function plansOf(method: string, path: string, body?: unknown): Promise<QueryPlan[]> {
  const queries = await hearQueries(async () => {
    const answer = await askApi(method, `/api/v1${path}`, body);
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    await answer.arrayBuffer();
  });
  expect(queries.length, `${method} ${path} asked D1 nothing`).toBeGreaterThan(0);
  const found = await Promise.all(queries.map(explain));
  plans.push(...found);
  return found;
}

/** The indexes that plans use of a table, each once. */
function indexesOf(table: string, of: QueryPlan[]): string[] {
  const uses = of.flatMap(({ steps }) => steps.flatMap((step) => new RegExp(`^SEARCH ${table} .*?INDEX (\\w+)`).exec(step)?.[1] ?? []));
  return [...new Set(uses)];
}

beforeAll(async () => {
  stream = await createStream({ title: "Planned", tags: ["news"] });
});

describe("what the API asks D1", () => {
  it.each([
    ["", "streams_account_created"],
    ["?sort=created_at", "streams_account_created"],
    ["?status=active", "streams_account_status"],
    ["?sort=-viewer_count", "streams_account_viewers"],
    ["?sort=viewer_count&tag=news", "streams_account_viewers"],
    ["?q=morning", "streams_account_created"],
    [`?cursor=-created_at.1700000000000.${"0".repeat(24)}`, "streams_account_created"],
    [`?sort=-viewer_count&cursor=-viewer_count.12.${"0".repeat(24)}`, "streams_account_viewers"],
  ])("a list of streams (%s) goes along %s, in its order", async (query, index) => {
    const found = await plansOf("GET", `/streams${query}`);
    expect(indexesOf("streams", found)).toEqual([index]);
    // Nothing is sorted, so that a page costs what is on it.
    expect(found.flatMap(({ steps }) => steps).filter((step) => step.includes("TEMP B-TREE"))).toEqual([]);
  });

  it("the first column of a cursor's comparison narrows the search", async () => {
    const [plan] = await plansOf("GET", `/streams?cursor=-created_at.1700000000000.${"0".repeat(24)}`);
    expect(plan?.steps.join()).toMatch(/account_id=\? AND \(created_at,id\)<\(\?,\?\)/);
  });

  it("one stream is found by its id", async () => {
    expect(indexesOf("streams", await plansOf("GET", `/streams/${stream.id}`))).toEqual(["sqlite_autoindex_streams_1"]);
  });

  it("reads no whole table, whatever is asked", async () => {
    await plansOf("POST", "/streams", { title: "Another", tags: ["a", "b"] });
    await plansOf("PATCH", `/streams/${stream.id}`, { title: "Changed", tags: ["c"] });
    const origin = await hearQueries(async () => {
      const calls = await OriginCalls.publish(stream.stream_key);
      await calls.begin();
      await calls.end("unpublished");
    });
    plans.push(...(await Promise.all(origin.map(explain))));
    await plansOf("DELETE", `/streams/${stream.id}`);
    expect(plans.filter(({ steps }) => steps.some((step) => WHOLE_TABLE.test(step)))).toEqual([]);
  });
});
