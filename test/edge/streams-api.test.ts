import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { StreamResource } from "../../domain/protocol/api/streams.ts";
import { join } from "./audience.ts";
import { ask, askApi, createStream, liveStreamOf } from "./edge.ts";

type Page = { streams: StreamResource[]; next_cursor: string | null };

/** A PATCH with headers of its own. */
function patch(id: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return ask(`/api/v1/streams/${id}`, {
    method: "PATCH",
    headers: { Authorization: "Bearer test-admin-key", "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** All pages of a list, one after the other; throws where a stream comes twice. */
async function listAll(query: string): Promise<StreamResource[]> {
  const streams: StreamResource[] = [];
  let cursor: string | null = null;
  do {
    const answer = await askApi("GET", `/api/v1/streams?${query}${cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
    if (answer.status !== 200) throw new Error(`list: ${answer.status} ${await answer.text()}`);
    const page = (await answer.json()) as Page;
    streams.push(...page.streams);
    cursor = page.next_cursor;
  } while (cursor !== null);
  if (new Set(streams.map(({ id }) => id)).size !== streams.length) throw new Error("a stream came twice");
  return streams;
}

async function eventsOf(id: string): Promise<string[]> {
  const { results } = await env.DB.prepare(
    "SELECT type FROM events WHERE stream_id = ?1 UNION ALL SELECT json_extract(event, '$.type') FROM outbox WHERE json_extract(event, '$.stream_id') = ?1",
  )
    .bind(id)
    .all<{ type: string }>();
  return results.map(({ type }) => type);
}

describe("PATCH /api/v1/streams/{id}", () => {
  it("changes what is named, and nothing else", async () => {
    const { id } = await createStream({ title: "Before", tags: ["a"], description: "stays" });
    const answer = await patch(id, { title: " After ", tags: ["b", "b", "c"], reconnect_window_seconds: 5 });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("ETag")).toBe('"2"');
    const changed = { title: "After", tags: ["b", "c"], description: "stays", reconnect_window_seconds: 5, status: "pending" };
    expect(await answer.json()).toMatchObject(changed);
    expect(await (await askApi("GET", `/api/v1/streams/${id}`)).json()).toMatchObject(changed);
  });

  it("with If-Match, only the revision that is meant", async () => {
    const created = await askApi("POST", "/api/v1/streams", { title: "Mine" });
    const { id } = (await created.json()) as StreamResource;
    const tag = created.headers.get("ETag") ?? "";
    expect(tag).toBe('"1"');
    expect((await patch(id, { title: "First" }, { "If-Match": tag })).status).toBe(200);
    const late = await patch(id, { title: "Second" }, { "If-Match": tag });
    expect(late.status).toBe(412);
    expect(await late.json()).toMatchObject({ error: "revision_mismatch", message: expect.stringContaining('"2"') });
    expect((await askApi("GET", `/api/v1/streams/${id}`)).headers.get("ETag")).toBe('"2"');
    expect((await patch(id, { title: "Third" }, { "If-Match": '"9", "2"' })).status).toBe(200);
    expect((await patch(id, { title: "Fourth" }, { "If-Match": "*" })).status).toBe(200);
    const headers = { Authorization: "Bearer test-admin-key", "If-Match": tag };
    expect((await ask(`/api/v1/streams/${id}`, { method: "DELETE", headers })).status).toBe(412);
  });

  it("of many at once, each is done, and each tells of itself once", async () => {
    const { id } = await createStream();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => patch(id, { description: `change ${i}` })));
    const done = answers.filter(({ status }) => status === 200);
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(done.length).toBeGreaterThan(0);
    expect((await askApi("GET", `/api/v1/streams/${id}`)).headers.get("ETag")).toBe(`"${1 + done.length}"`);
    await expect.poll(async () => (await eventsOf(id)).filter((type) => type === "stream.updated").length).toBe(done.length);
  });

  it("refuses what is wrong, and deleted streams", async () => {
    const { id } = await createStream();
    for (const body of [{}, { title: "" }, { title: null }, { status: "active" }, { tags: "a" }, { part_target: 0.1 }, [], null, 1]) {
      const answer = await patch(id, body);
      expect(answer.status, JSON.stringify(body)).toBe(400);
      expect(await answer.json()).toMatchObject({ error: "invalid_request" });
    }
    await askApi("DELETE", `/api/v1/streams/${id}`);
    expect((await patch(id, { title: "x" })).status).toBe(410);
    expect((await patch("0123456789abcdefghjkmnpq", { title: "x" })).status).toBe(404);
  });

  it("tells viewers of a new title, and greets the next with it", async () => {
    const { id } = await createStream({ title: "Old" });
    const viewer = await join(id, "viewer-0001");
    await patch(id, { description: "nobody is told of this" });
    await patch(id, { title: "New" });
    await expect.poll(() => viewer.last("stream_updated")?.data).toMatchObject({ stream_id: id, title: "New" });
    expect(viewer.frames.filter(({ event }) => event === "stream_updated")).toHaveLength(1);
    const next = await join(id, "viewer-0002");
    await expect.poll(() => next.last("connection_established")?.data.stream.title).toBe("New");
  });

  it("an older word than the last does not reach the object", async () => {
    const { id } = await createStream({ title: "One" });
    await patch(id, { title: "Two", visibility: "signed" });
    const stale = { id, accountId: "admin", revision: 1, title: "One", visibility: "public" } as never;
    await liveStreamOf(id).configure(stale);
    expect(await liveStreamOf(id).visibility()).toBe("signed");
  });
});

describe("GET /api/v1/streams", () => {
  it("filters by tag and text, and forgets the tags of what is deleted or changed", async () => {
    const news = await createStream({ title: "Evening news", tags: ["news", "live"] });
    const both = await createStream({ title: "Sports", description: "100% fun_ny", tags: ["live"] });
    const ids = async (query: string) => (await listAll(query)).map(({ id }) => id).sort();
    expect(await ids("tag=live")).toEqual([news.id, both.id].sort());
    expect(await ids("tag=news&q=evening")).toEqual([news.id]);
    expect(await ids("q=EVENING")).toEqual([news.id]);
    expect(await ids(`q=${encodeURIComponent("0% fun_")}`)).toEqual([both.id]);
    expect(await ids(`q=${encodeURIComponent("0_ fun")}`)).toEqual([]);
    // More bytes than a pattern of D1's may have.
    expect(await ids(`q=${encodeURIComponent("ü".repeat(100))}`)).toEqual([]);
    expect(await ids("tag=liv")).toEqual([]);
    await patch(news.id, { tags: ["old"] });
    expect(await ids("tag=news")).toEqual([]);
    expect(await ids("tag=old")).toEqual([news.id]);
    await askApi("DELETE", `/api/v1/streams/${news.id}`);
    expect(await ids("tag=old")).toEqual([]);
    const { results } = await env.DB.prepare("SELECT tag FROM stream_tags WHERE stream_id = ?").bind(news.id).all();
    expect(results).toEqual([]);
  });

  it("sorts by viewers and by age, both ways, page by page", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 7; i++) ids.push((await createStream({ title: `sorted ${i}`, tags: ["sorted"] })).id);
    const viewers = [3, 0, 12, 3, 7, 0, 3];
    await env.DB.batch(ids.map((id, i) => env.DB.prepare("UPDATE streams SET viewer_count = ? WHERE id = ?").bind(viewers[i], id)));
    for (const limit of [1, 2, 3, 100]) {
      const down = await listAll(`tag=sorted&sort=-viewer_count&limit=${limit}`);
      expect(down.map(({ viewer_count }) => viewer_count)).toEqual([12, 7, 3, 3, 3, 0, 0]);
      const up = await listAll(`tag=sorted&sort=viewer_count&limit=${limit}`);
      expect(up.map(({ id }) => id)).toEqual(down.map(({ id }) => id).reverse());
      const byAge = await listAll(`tag=sorted&sort=created_at&limit=${limit}`);
      expect(byAge.map(({ created_at }) => created_at)).toEqual([...byAge.map(({ created_at }) => created_at)].sort());
      expect((await listAll(`tag=sorted&limit=${limit}`)).map(({ id }) => id)).toEqual(byAge.map(({ id }) => id).reverse());
    }
  });

  it("refuses the cursor of another order, and filters that are none", async () => {
    for (let i = 0; i < 2; i++) await createStream();
    const { next_cursor } = (await (await askApi("GET", "/api/v1/streams?limit=1&sort=-viewer_count")).json()) as Page;
    const other = await askApi("GET", `/api/v1/streams?sort=created_at&cursor=${next_cursor}`);
    expect(other.status).toBe(400);
    expect(await other.json()).toMatchObject({ error: "invalid_cursor" });
    for (const query of ["sort=title", "q=", "q=%20", `q=${"x".repeat(101)}`, `tag=${"x".repeat(65)}`, "status=live"]) {
      expect((await askApi("GET", `/api/v1/streams?${query}`)).status, query).toBe(400);
    }
  });
});

it("the row of a deletion and its event are there together, and the second deletion tells of nothing", async () => {
  const { id } = await createStream();
  expect((await askApi("DELETE", `/api/v1/streams/${id}`)).status).toBe(204);
  expect((await askApi("DELETE", `/api/v1/streams/${id}`)).status).toBe(409);
  await expect.poll(() => eventsOf(id)).toEqual(["stream.created", "stream.deleted"]);
});
