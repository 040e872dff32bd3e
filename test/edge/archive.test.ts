import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import type { ArchiveList } from "../../domain/protocol/api/event-feed.ts";
import { archiveEvents } from "../../workers/audit/archiver.ts";
import { EVENTS_MS, purge } from "../../workers/audit/purge.ts";
import { ask, askApi } from "./edge.ts";

const LATER = 11 * 60_000;
let next = 1;

/** Puts events into the record, as the consumer does. */
async function record(count: number, recordedAt = Date.now()): Promise<string[]> {
  const ids = Array.from({ length: count }, () => crypto.randomUUID());
  const insert = env.DB.prepare(
    `INSERT INTO events (id, account_id, stream_id, aggregate, seq, type, actor, request_id, occurred_at, recorded_at, data)
     VALUES (?, 'admin', NULL, 'account:admin', ?, 'webhook.created', 'admin', NULL, ?, ?, '{"name":"ä"}')`,
  );
  await env.DB.batch(ids.map((id) => insert.bind(id, next++, recordedAt, recordedAt)));
  return ids;
}

async function archive(query = ""): Promise<ArchiveList> {
  const answer = await askApi("GET", `/api/v1/events/archive?verify=true&${query}`);
  if (answer.status !== 200) throw new Error(`archive: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** The events of the archive, by the text of its objects. */
async function archived(): Promise<string[]> {
  const { objects } = await archive("limit=50");
  const texts = await Promise.all(objects.map(async ({ key }) => (await env.MEDIA.get(key))?.text() ?? ""));
  return texts.flatMap((text) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).id as string),
  );
}

beforeEach(async () => {
  const { objects } = await env.MEDIA.list({ prefix: "audit/" });
  await env.MEDIA.delete(objects.map(({ key }) => key));
  await env.DB.batch(["events", "archive_objects"].map((table) => env.DB.prepare(`DELETE FROM ${table}`)));
});

describe("the archiver", () => {
  it("writes full objects at once, and the rest when it has waited", async () => {
    const ids = await record(2_050);
    expect(await archiveEvents(env, Date.now())).toBe(2_000);
    expect(await archiveEvents(env, Date.now())).toBe(0);
    expect(await archiveEvents(env, Date.now() + LATER)).toBe(50);
    const { objects, verification, next_cursor } = await archive();
    expect(objects.map(({ number, key, count }) => [number, key, count])).toEqual([
      [1, "audit/events/0000000001.ndjson", 1000],
      [2, "audit/events/0000000002.ndjson", 1000],
      [3, "audit/events/0000000003.ndjson", 50],
    ]);
    expect(objects[1]?.first_position).toBe((objects[0]?.last_position ?? 0) + 1);
    expect([verification, next_cursor]).toEqual([{ state: "intact", events: 2_050, problem: null }, null]);
    expect(await archived()).toEqual(ids);
  });

  it("goes on from an object that was written by one who died before D1 knew of it, with fewer events", async () => {
    const ids = await record(3);
    await archiveEvents(env, Date.now() + LATER);
    ids.push(...(await record(2)));
    await archiveEvents(env, Date.now() + LATER);
    await env.DB.prepare("DELETE FROM archive_objects WHERE number = 2").run();
    ids.push(...(await record(4)));
    await archiveEvents(env, Date.now() + LATER);
    expect(await archived()).toEqual(ids);
    expect((await archive()).verification).toMatchObject({ state: "intact", events: 9 });
  });

  it("never writes over the object of another archiver that was faster", async () => {
    const ids = await record(3);
    const put: R2Bucket["put"] = async (...args: Parameters<R2Bucket["put"]>) => {
      ids.push(...(await record(2)));
      expect(await archiveEvents(env, Date.now() + LATER)).toBe(5);
      return env.MEDIA.put(...args) as Promise<R2Object>;
    };
    const slow = { DB: env.DB, MEDIA: { put, get: (key: string) => env.MEDIA.get(key) } as R2Bucket };
    await archiveEvents(slow, Date.now() + LATER);
    expect(await archived()).toEqual(ids);
    expect((await archive()).verification).toEqual({ state: "intact", events: 5, problem: null });
  });

  it("archives what a restored database has recorded at positions that the archive has had before", async () => {
    const before = await record(5);
    await archiveEvents(env, Date.now() + LATER);
    // A backup from after the second event.
    await env.DB.batch([
      env.DB.prepare("DELETE FROM archive_objects"),
      env.DB.prepare("DELETE FROM events WHERE id NOT IN (?, ?)").bind(before[0], before[1]),
      env.DB.prepare("UPDATE sqlite_sequence SET seq = (SELECT max(position) FROM events) WHERE name = 'events'"),
    ]);
    const after = await record(2);
    await archiveEvents(env, Date.now() + LATER);
    expect((await archived()).sort()).toEqual([...before, ...after].sort());
    expect((await archive()).verification?.state).toBe("intact");
    const third = await record(1);
    await archiveEvents(env, Date.now() + LATER);
    expect((await archived()).at(-1)).toBe(third[0]);
    expect(await archived()).toHaveLength(8);
  });

  it("stops where an object stands that does not go on from the one before, and loses nothing", async () => {
    await record(2);
    await env.MEDIA.put("audit/events/0000000001.ndjson", "forged\n");
    await expect(archiveEvents(env, Date.now() + LATER)).rejects.toThrow("0000000001.ndjson, line 1: the line has no hash");
    expect(await env.DB.prepare("SELECT count(*) AS n FROM archive_objects").first("n")).toBe(0);
  });
});

describe("GET /api/v1/events/archive", () => {
  it("says where the chain breaks", async () => {
    const keyOf = (number: number) => `audit/events/000000000${number}.ndjson`;
    for (let object = 0; object < 3; object++) {
      await record(4);
      await archiveEvents(env, Date.now() + LATER);
    }
    const text = (await (await env.MEDIA.get(keyOf(2)))?.text()) ?? "";
    await env.MEDIA.put(keyOf(2), text.replace('"seq"', '"Seq"'));
    expect((await archive()).verification).toEqual({
      state: "broken",
      events: 4,
      problem: { key: keyOf(2), line: 1, message: "the line was changed: it does not have its hash" },
    });
    // Without its last line the object holds in itself, but it is not what D1 knows.
    await env.MEDIA.put(keyOf(2), text.split("\n").slice(0, 3).join("\n").concat("\n"));
    expect((await archive()).verification).toMatchObject({
      problem: { key: keyOf(2), line: null, message: expect.stringContaining("another one") },
    });
    await env.MEDIA.delete(keyOf(2));
    expect((await archive()).verification).toMatchObject({ problem: { key: keyOf(2), message: "the object is missing" } });
    await env.MEDIA.put(keyOf(2), text);
    expect((await archive()).verification).toMatchObject({ state: "intact", events: 12 });
    await env.MEDIA.delete(keyOf(3));
    expect((await archive()).verification).toMatchObject({ problem: { key: keyOf(3), message: "the object is missing" } });
  });

  it("pages, each page going on from the one before, and is for administrators only", async () => {
    for (let object = 0; object < 3; object++) {
      await record(1);
      await archiveEvents(env, Date.now() + LATER);
    }
    const first = await archive("limit=2");
    expect([first.objects.map(({ number }) => number), first.verification?.events, first.next_cursor]).toEqual([[1, 2], 2, "2"]);
    const second = await archive(`limit=2&after=${first.next_cursor}`);
    expect([second.objects.map(({ number }) => number), second.verification, second.next_cursor]).toEqual([
      [3],
      { state: "intact", events: 1, problem: null },
      null,
    ]);
    expect((await askApi("GET", "/api/v1/events/archive")).status).toBe(200);
    expect((await askApi("GET", "/api/v1/events/archive?verify=true&after=7")).status).toBe(400);
    expect((await ask("/api/v1/events/archive")).status).toBe(401);
  });

  it("is nowhere where viewers fetch media", async () => {
    await record(1);
    await archiveEvents(env, Date.now() + LATER);
    for (const path of [
      "/media/audit/events/0000000001.ndjson",
      "/media/audit/1/events/0000000001.ndjson",
      "/hls/audit/events/0000000001.ndjson",
      "/audit/events/0000000001.ndjson",
      "/media/..%2faudit/1/events/0000000001.ndjson",
      "/hls/audit%2fevents/index.m3u8",
    ]) {
      const answer = await ask(path);
      expect([path, answer.status]).toEqual([path, 404]);
    }
  });
});

describe("the purge", () => {
  const count = async (table: string) => env.DB.prepare(`SELECT count(*) AS n FROM ${table}`).first<number>("n");

  it("deletes old events once they are archived, and no others", async () => {
    const now = Date.now();
    await record(3, now - EVENTS_MS - 1);
    await record(2, now);
    await purge(env.DB, now);
    expect(await count("events")).toBe(5);
    await archiveEvents(env, now);
    await purge(env.DB, now);
    expect(await count("events")).toBe(2);
    expect((await archive()).verification?.state).toBe("intact");
  });

  it("deletes old deliveries that are done, and old answers", async () => {
    const now = Date.now();
    const day = 86_400_000;
    const delivery = env.DB.prepare(
      "INSERT INTO webhook_deliveries (id, webhook_id, account_id, event_id, event_type, body, status, created_at) VALUES (?1, 'w', 'a', ?1, 't', '', ?2, ?3)",
    );
    const key = env.DB.prepare("INSERT INTO idempotency_keys (account_id, digest, request_digest, created_at) VALUES ('a', ?, '', ?)");
    await env.DB.batch([
      delivery.bind("old", "delivered", now - 31 * day),
      delivery.bind("dead", "dead", now - 31 * day),
      delivery.bind("waits", "pending", now - 31 * day),
      delivery.bind("new", "delivered", now - 29 * day),
      key.bind("old", now - 25 * 3_600_000),
      key.bind("new", now - 23 * 3_600_000),
    ]);
    await purge(env.DB, now);
    expect((await env.DB.prepare("SELECT id FROM webhook_deliveries ORDER BY id").all()).results).toEqual([{ id: "new" }, { id: "waits" }]);
    expect((await env.DB.prepare("SELECT digest FROM idempotency_keys").all()).results).toEqual([{ digest: "new" }]);
  });
});
