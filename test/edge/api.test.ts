import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { askWorker, closedDatabase } from "./account.ts";
import { ask, askApi, createStream, liveStreamOf, OriginCalls } from "./edge.ts";

describe("access", () => {
  it.each(["GET", "POST"])("%s without a key, or with a wrong one, is 401", async (method) => {
    for (const headers of [{} as Record<string, string>, { Authorization: "Bearer wrong" }, { Authorization: "Basic test-admin-key" }]) {
      const answer = await ask("/api/v1/streams", { method, headers, body: method === "POST" ? "{}" : null });
      expect(answer.status).toBe(401);
      expect(await answer.json()).toMatchObject({
        error: "unauthorized",
        request_id: expect.any(String),
        message: expect.stringContaining("key"),
      });
    }
  });
});

describe("POST /api/v1/streams", () => {
  it("creates a stream, and shows its key this once", async () => {
    const answer = await askApi("POST", "/api/v1/streams", { title: "  Morning show ", tags: ["news"] });
    expect(answer.status).toBe(201);
    const stream = (await answer.json()) as Record<string, unknown> & { id: string };
    expect(stream).toMatchObject({
      title: "Morning show",
      description: "",
      tags: ["news"],
      status: "pending",
      visibility: "public",
      latency_mode: "low",
      profile: "passthrough",
      rtmp_url: "rtmp://edge.test:1935/live",
      stream_key: expect.stringMatching(/^nova_[0-9a-z]{32}$/),
      playback: { hls: `https://edge.test/hls/${stream.id}/index.m3u8` },
      watch_url: `https://edge.test/watch/${stream.id}`,
      viewer_count: 0,
      peak_viewers: 0,
    });
    expect(stream.id).toMatch(/^[0-9a-hjkmnp-tv-z]{24}$/);
    const again = (await (await askApi("GET", `/api/v1/streams/${stream.id}`)).json()) as object;
    expect(again).not.toHaveProperty("stream_key");
    expect(again).toMatchObject({ id: stream.id, title: "Morning show" });
  });

  it.each([
    ["no title", {}, "title"],
    ["an empty title", { title: " " }, "title"],
    ["a title over 255", { title: "x".repeat(256) }, "title"],
    ["a description over 2000", { title: "x", description: "x".repeat(2001) }, "description"],
    ["more than 10 tags", { title: "x", tags: Array.from({ length: 11 }, (_, i) => `t${i}`) }, "tags"],
    ["an unknown visibility", { title: "x", visibility: "secret" }, "visibility"],
    ["an unknown field", { title: "x", colour: "red" }, "colour"],
  ])("names what is wrong with %s", async (_what, body, field) => {
    const answer = await askApi("POST", "/api/v1/streams", body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: "invalid_request", details: [{ field }] });
  });

  it("refuses what is not JSON, and bodies over 64 KiB", async () => {
    const send = (body: string) => ask("/api/v1/streams", { method: "POST", headers: { Authorization: "Bearer test-admin-key" }, body });
    expect(await (await send("{nope")).json()).toMatchObject({ error: "invalid_json" });
    expect((await send(JSON.stringify({ title: "x", description: "x".repeat(70_000) }))).status).toBe(413);
  });
});

describe("GET /api/v1/streams", () => {
  it("pages through all, newest first, and filters by status", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push((await createStream({ title: `page ${i}` })).id);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const answer: Response = await askApi("GET", `/api/v1/streams?limit=2${cursor === null ? "" : `&cursor=${cursor}`}`);
      const page = (await answer.json()) as { streams: { id: string }[]; next_cursor: string | null };
      seen.push(...page.streams.map((stream) => stream.id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((id) => ids.includes(id))).toHaveLength(5);
    expect(await (await askApi("GET", "/api/v1/streams?status=active")).json()).toEqual({ streams: [], next_cursor: null });
    for (const query of ["limit=0", "status=nope", "cursor=nope", "colour=red"])
      expect((await askApi("GET", `/api/v1/streams?${query}`)).status).toBe(400);
  });

  it("shows the lifecycle pending → active → reconnecting → active → completed, in the list too", async () => {
    const { id, stream_key } = await createStream();
    const status = async () => ((await (await askApi("GET", `/api/v1/streams/${id}`)).json()) as { status: string }).status;
    const listed = async () => {
      const { streams } = (await (await askApi("GET", "/api/v1/streams")).json()) as { streams: { id: string; status: string }[] };
      return streams.find((stream) => stream.id === id)?.status;
    };
    expect(await status()).toBe("pending");
    const origin = await OriginCalls.publish(stream_key);
    expect(await status()).toBe("pending");
    await origin.heartbeat();
    expect(await status()).toBe("active");
    await expect.poll(listed).toBe("active");
    await origin.begin();
    await origin.pushSegments(1, 1);
    await origin.end("idle");
    expect(await status()).toBe("reconnecting");
    const again = await OriginCalls.publish(stream_key);
    await again.begin();
    expect(await status()).toBe("active");
    await again.end("unpublished");
    expect(await status()).toBe("completed");
    await expect.poll(listed).toBe("completed");
  });

  it("shows a fault of the input as an error, with its reason", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.call("POST", "/end", { reason: "unsupported_input", message: "HEVC video is not supported" });
    expect(await (await askApi("GET", `/api/v1/streams/${id}`)).json()).toMatchObject({
      status: "error",
      end_reason: "HEVC video is not supported",
    });
    expect((await OriginCalls.publishRaw(stream_key)).status).toBe(200);
  });
});

describe("DELETE /api/v1/streams/{id}", () => {
  it("ends the stream for good, keeps its record, and is 409 the second time", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    expect((await askApi("DELETE", `/api/v1/streams/${id}`)).status).toBe(204);
    expect(await (await askApi("GET", `/api/v1/streams/${id}`)).json()).toMatchObject({
      status: "completed",
      end_reason: "deleted",
      deleted_at: expect.any(String),
    });
    const again = await askApi("DELETE", `/api/v1/streams/${id}`);
    expect(again.status).toBe(409);
    expect(await again.json()).toMatchObject({ error: "already_deleted" });
    expect((await askApi("DELETE", "/api/v1/streams/0123456789abcdefghjkmnpq")).status).toBe(404);
  });
});

describe("without D1", () => {
  it("what is live plays, counts and ingests on, and the API says 503 with Retry-After", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.pushSegments(1, 1);
    await env.DB.batch([
      env.DB.prepare("ALTER TABLE streams RENAME TO streams_away"),
      env.DB.prepare("ALTER TABLE stream_keys RENAME TO stream_keys_away"),
    ]);
    try {
      const api = await askApi("GET", `/api/v1/streams/${id}`);
      expect(api.status).toBe(503);
      expect(api.headers.get("Retry-After")).toBe("5");
      await origin.pushSegments(2, 2);
      expect((await origin.heartbeat()).status).toBe(200);
      expect((await ask(`/hls/${id}/source/index.m3u8`)).status).toBe(200);
      expect((await ask(`/media/${id}/1/source/1-2.m4s`)).status).toBe(200);
      const socket = await ask(`/api/v1/streams/${id}/ws?viewer=viewer-0001`, { headers: { Upgrade: "websocket" } });
      expect(socket.status).toBe(101);
      socket.webSocket?.accept();
      expect((await liveStreamOf(id).facts()).viewerCount).toBe(1);
      await origin.end("unpublished");
      expect((await liveStreamOf(id).facts()).status).toBe("completed");
    } finally {
      await env.DB.batch([
        env.DB.prepare("ALTER TABLE streams_away RENAME TO streams"),
        env.DB.prepare("ALTER TABLE stream_keys_away RENAME TO stream_keys"),
      ]);
    }
  });

  it.each([
    ["GET", "/api/v1/streams"],
    ["GET", "/api/v1/streams/ID"],
    ["POST", "/api/v1/streams"],
    ["PATCH", "/api/v1/streams/ID"],
    ["DELETE", "/api/v1/streams/ID"],
    ["GET", "/api/v1/streams/ID/keys"],
    ["POST", "/api/v1/streams/ID/keys"],
    ["GET", "/api/v1/api-keys"],
    ["POST", "/api/v1/accounts"],
    ["GET", "/api/v1/events"],
    ["GET", "/api/v1/webhooks"],
    ["GET", "/api/v1/me"],
  ])("%s %s is 503 with Retry-After", async (method, path) => {
    const { id } = await createStream();
    const { DB } = closedDatabase();
    const body =
      method === "GET" || method === "DELETE"
        ? null
        : JSON.stringify({ [path.endsWith("keys") ? "label" : path.endsWith("accounts") ? "name" : "title"]: "x" });
    const answer = await askWorker({ DB }, path.replace("ID", id), { method, body, headers: { Authorization: "Bearer test-admin-key" } });
    expect([answer.status, answer.headers.get("Retry-After")]).toEqual([503, "5"]);
    expect(await answer.json()).toMatchObject({ error: "unavailable" });
    // Neither did it do half of it.
    expect((await liveStreamOf(id).facts()).status).toBe("pending");
  });
});

describe("health", () => {
  it("is alive, and ready", async () => {
    expect(await (await ask("/health")).json()).toEqual({ status: "ok" });
    const ok = { state: "ok", latency_ms: expect.any(Number) };
    expect(await (await ask("/ready")).json()).toEqual({ status: "ready", dependencies: { d1: ok, r2: ok, objects: ok, queues: ok } });
    const nowhere = await ask("/nowhere");
    expect(nowhere.status).toBe(404);
    expect(await nowhere.json()).toMatchObject({ error: "not_found" });
  });

  it.each([
    ["D1", { DB: { prepare: () => ({ run: () => Promise.reject(new Error("away")) }) } }, "d1", 503],
    ["R2, that never answers", { MEDIA: { head: () => new Promise(() => {}) } }, "r2", 503],
    ["the queue", { EVENTS: { metrics: () => Promise.reject(new Error("away")) } }, "queues", 200],
    ["the objects", { LIVE: { idFromName: () => "x", get: () => ({ facts: () => Promise.reject(new Error("away")) }) } }, "objects", 200],
  ])("says what is down: %s", async (_what, bindings, name, status) => {
    // What was found a second ago is found no more.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const answer = await askWorker(bindings as unknown as Partial<Env>, "/ready");
    expect(answer.status).toBe(status);
    const { dependencies, ...whole } = (await answer.json()) as {
      status: string;
      dependencies: Record<string, { state: string; latency_ms: number }>;
    };
    expect(whole).toEqual({ status: "degraded" });
    expect(
      Object.entries(dependencies)
        .filter(([, { state }]) => state === "down")
        .map(([down]) => down),
    ).toEqual([name]);
    expect(dependencies[name]?.latency_ms).toBeLessThan(3_000);
    expect((await ask("/health")).status).toBe(200);
  });
});
