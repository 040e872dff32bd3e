import { createScheduledController, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { streamEvent } from "../../workers/audit/new-event.ts";
import { outboxStatements } from "../../workers/audit/outbox.ts";
import { NEVER_AGAIN, reconcileStreams } from "../../workers/audit/reconcile.ts";
import worker from "../../workers/index.ts";
import { askApi, createStream, liveStreamOf, OriginCalls } from "./edge.ts";

/** When every stream is due again, and what was written lately is no longer new. */
let now = Date.now();

beforeEach(async () => {
  now = Date.now() + 2 * 3_600_000;
  // Each test is about its own stream.
  await env.DB.prepare("UPDATE streams SET reconciled_at = ?").bind(NEVER_AGAIN).run();
  vi.spyOn(console, "warn").mockReturnValue();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const row = (id: string) => env.DB.prepare("SELECT * FROM streams WHERE id = ?").bind(id).first<Record<string, unknown>>();
const again = (id: string) => env.DB.prepare("UPDATE streams SET reconciled_at = 0 WHERE id = ?").bind(id).run();
const sql = (text: string, ...values: unknown[]) =>
  env.DB.prepare(text)
    .bind(...values)
    .run();
const factOf = (id: string, name: string) =>
  runInDurableObject(liveStreamOf(id), (_, { storage }) => {
    const kept = storage.sql.exec<{ value: string }>("SELECT value FROM facts WHERE name = ?", name).toArray()[0];
    return kept === undefined ? null : JSON.parse(kept.value);
  });

async function live() {
  const stream = await createStream();
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  await expect.poll(async () => (await row(stream.id))?.status).toBe("active");
  return { ...stream, origin };
}

describe("the reconciler", () => {
  it("finds nothing to repair where nothing is wrong", async () => {
    await createStream();
    const { origin } = await live();
    expect(await reconcileStreams(env, now)).toEqual({ checked: 2, failed: 0, repaired: {} });
    // A second run has nothing to look at: both were just now.
    expect(await reconcileStreams(env, now)).toEqual({ checked: 0, failed: 0, repaired: {} });
    await origin.end("unpublished");
  });

  it.each([
    ["a lost projection", "UPDATE streams SET status = 'pending', broadcast = 0, started_at = NULL WHERE id = ?"],
    ["a wrong count", "UPDATE streams SET viewer_count = 77, peak_viewers = 99 WHERE id = ?"],
    ["a row from a backup", "UPDATE streams SET status = 'pending', version = 0 WHERE id = ?"],
    ["a row that is ahead of an object from a backup", "UPDATE streams SET status = 'completed', version = version + 1000 WHERE id = ?"],
  ])("repairs %s", async (_what, damage) => {
    const { id, origin } = await live();
    await sql(damage, id);
    const { repaired } = await reconcileStreams(env, now);
    expect(repaired).toEqual({ projected: 1 });
    expect(await row(id)).toMatchObject({ status: "active", broadcast: 1, viewer_count: 0, peak_viewers: 0, ended_at: null });
    expect((await row(id))?.started_at).toEqual(expect.any(Number));
    // And what comes next is heard of.
    await origin.end("unpublished");
    await expect.poll(async () => (await row(id))?.status).toBe("completed");
  });

  it("does not take what the object is about to write for a fault", async () => {
    const { id, origin } = await live();
    await runInDurableObject(liveStreamOf(id), (_, { storage }) => {
      const { version } = JSON.parse(storage.sql.exec<{ value: string }>("SELECT value FROM facts WHERE name = 'projection'").one().value);
      const due = JSON.stringify({ version: version + 1, dueAt: now + 60_000 });
      storage.sql.exec("UPDATE facts SET value = ? WHERE name = 'projection'", due);
    });
    await evictDurableObject(liveStreamOf(id));
    await sql("UPDATE streams SET viewer_count = 3 WHERE id = ?", id);
    expect((await reconcileStreams(env, now)).repaired).toEqual({});
    await origin.end("unpublished");
  });

  it("brings settings that the object never heard of", async () => {
    const { id } = await createStream();
    await sql("UPDATE streams SET title = 'Renamed', visibility = 'signed', revision = revision + 1 WHERE id = ?", id);
    expect((await reconcileStreams(env, now)).repaired).toEqual({ configured: 1 });
    expect(await factOf(id, "config")).toMatchObject({ title: "Renamed", visibility: "signed", revision: 2 });
  });

  it("makes the object of a stream whose creation was cut off", async () => {
    const { id } = await createStream();
    await runInDurableObject(liveStreamOf(id), (_, { storage }) => void storage.sql.exec("DELETE FROM facts"));
    await evictDurableObject(liveStreamOf(id));
    expect((await reconcileStreams(env, now)).repaired).toEqual({ configured: 1 });
    expect(await factOf(id, "config")).toMatchObject({ id, title: "Test" });
  });

  it("lets a row from a backup change its stream again", async () => {
    const { id } = await createStream();
    for (const title of ["Two", "Three"]) await askApi("PATCH", `/api/v1/streams/${id}`, { title });
    await sql("UPDATE streams SET title = 'Test', revision = 1 WHERE id = ?", id);
    await again(id);
    expect((await reconcileStreams(env, now)).repaired).toEqual({ revision_raised: 1 });
    expect(await factOf(id, "config")).toMatchObject({ title: "Test", revision: 4 });
    expect((await askApi("PATCH", `/api/v1/streams/${id}`, { title: "Four" })).status).toBe(200);
    expect(await factOf(id, "config")).toMatchObject({ title: "Four" });
  });

  it("ends a stream that is deleted in D1 only, live as it is", async () => {
    const { id, origin } = await live();
    await sql("UPDATE streams SET deleted_at = ? WHERE id = ?", Date.now(), id);
    expect((await reconcileStreams(env, now)).repaired).toEqual({ deleted: 1 });
    expect(await (await origin.heartbeat()).json()).toMatchObject({ action: "stop" });
    await expect.poll(async () => (await row(id))?.status).toBe("completed");
  });

  it("marks a row whose object was deleted, with an event, but not while the deletion is under way", async () => {
    const { id } = await createStream();
    await liveStreamOf(id).delete();
    expect((await reconcileStreams(env, now)).repaired).toEqual({});
    await runInDurableObject(liveStreamOf(id), (_, { storage }) => {
      storage.sql.exec("UPDATE facts SET value = ? WHERE name = 'purgeAt'", String(Date.now() + 29_000));
    });
    await again(id);
    expect((await reconcileStreams(env, now)).repaired).toEqual({ marked_deleted: 1 });
    expect((await row(id))?.deleted_at).toEqual(expect.any(Number));
    const { results } = await env.DB.prepare("SELECT event FROM outbox WHERE sent_at = 0").all<{ event: string }>();
    expect(results.map(({ event }) => JSON.parse(event)).filter((event) => event.stream_id === id)).toMatchObject([
      { type: "stream.deleted", actor: "system", account_id: "admin" },
    ]);
    // Then it is never looked at again.
    await again(id);
    expect((await reconcileStreams(env, now)).repaired).toEqual({});
    expect((await row(id))?.reconciled_at).toBe(NEVER_AGAIN);
  });

  it("cuts off an encoder whose key was revoked in D1 only", async () => {
    const { id, origin } = await live();
    await sql("UPDATE stream_keys SET revoked_at = 1 WHERE stream_id = ?", id);
    expect((await reconcileStreams(env, now)).repaired).toEqual({ key_cut_off: 1 });
    expect((await origin.heartbeat()).status).toBe(409);
    await expect.poll(async () => (await row(id))?.status).toBe("reconnecting");
  });

  it("looks at live streams each minute, and at few of the others, the longest waiting first", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 22; i++) ids.push((await createStream()).id);
    const { id: liveId, origin } = await live();
    expect(await reconcileStreams(env, now)).toMatchObject({ checked: 21, failed: 0 });
    const left = async () => (await env.DB.prepare("SELECT id FROM streams WHERE reconciled_at = 0").all()).results.length;
    expect(await left()).toBe(2);
    expect((await row(liveId))?.reconciled_at).toBe(now);
    expect(await reconcileStreams(env, now + 60_000)).toMatchObject({ checked: 3 });
    expect(await left()).toBe(0);
    await origin.end("unpublished");
  });

  it("goes on with the others where an object does not answer", async () => {
    const broken = await createStream();
    const { id } = await createStream();
    await sql("UPDATE streams SET title = 'Renamed', revision = 2 WHERE id = ?", id);
    const error = vi.spyOn(console, "error").mockReturnValue();
    const get = env.LIVE.get.bind(env.LIVE);
    const isBroken = env.LIVE.idFromName(broken.id).toString();
    vi.spyOn(env.LIVE, "get").mockImplementation((name) => {
      if (name.toString() === isBroken) throw new Error("the object is away");
      return get(name);
    });
    expect(await reconcileStreams(env, now)).toEqual({ checked: 2, failed: 1, repaired: { configured: 1 } });
    expect(error.mock.calls.flat().join()).toContain("stream_not_reconciled");
  });

  it("uses an index for each of its queries", async () => {
    const prepare = vi.spyOn(env.DB, "prepare");
    await live();
    prepare.mockClear();
    await reconcileStreams(env, now);
    const statements = prepare.mock.calls.map(([text]) => text).filter((text) => /^(select|update)/i.test(text));
    prepare.mockRestore();
    expect(statements.length).toBeGreaterThanOrEqual(4);
    for (const text of statements) {
      const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${text}`)
        .bind(...Array.from({ length: text.split("?").length - 1 }, () => "[]"))
        .all<{ detail: string }>();
      expect(results.map(({ detail }) => detail).filter((detail) => /SCAN (streams|stream_keys)|TEMP B-TREE/.test(detail))).toEqual([]);
    }
  });
});

describe("the cron", () => {
  it("takes up what was left undone, and one job's failure is none of the others'", async () => {
    const { id } = await createStream();
    const events = async () => (await env.DB.prepare("SELECT type FROM events WHERE stream_id = ?").bind(id).all()).results;
    await expect.poll(async () => (await events()).length, { timeout: 10_000 }).toBe(1);
    // A change whose Worker died before it could relay, and an archive that fails.
    const db = drizzle(env.DB);
    const event = streamEvent({ accountId: "admin", actor: "admin", requestId: null }, id, "stream.updated", {}, Date.now());
    await db.batch([db.run(`UPDATE streams SET title = 'Left' WHERE id = '${id}'`), ...outboxStatements(db, event)]);
    await sql("UPDATE events SET recorded_at = 0");
    vi.spyOn(env.MEDIA, "put").mockRejectedValue(new Error("R2 is away"));
    const error = vi.spyOn(console, "error").mockReturnValue();
    await worker.scheduled(createScheduledController(), env);
    expect(error.mock.calls.map(([line]) => JSON.parse(line))).toEqual([
      { event: "upkeep_failed", job: "archive", error: "Error: R2 is away" },
    ]);
    await expect.poll(async () => (await events()).length, { timeout: 10_000 }).toBe(2);
  });
});
