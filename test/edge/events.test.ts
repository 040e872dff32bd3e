import { createExecutionContext, createMessageBatch, evictDurableObject, getQueueResult, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { afterEach, describe, expect, it, vi } from "vitest";
import { GAP_ATTEMPTS } from "../../domain/audit/recording.ts";
import type { AuditEvent } from "../../domain/protocol/api/audit-events.ts";
import type { EventList, RecordedEvent } from "../../domain/protocol/api/event-feed.ts";
import { consumeEvents } from "../../workers/audit/consumer.ts";
import { feedQuery } from "../../workers/audit/event-log.ts";
import { streamEvent } from "../../workers/audit/new-event.ts";
import { outboxStatements } from "../../workers/audit/outbox.ts";
import { relayOutbox } from "../../workers/audit/relay.ts";
import { Streams } from "../../workers/store/streams.ts";
import { HeldQueue } from "./dying-env.ts";
import { askApi, createStream, liveStreamOf, OriginCalls } from "./edge.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

async function feed(query: string): Promise<EventList> {
  const answer = await askApi("GET", `/api/v1/events?${query}`);
  if (answer.status !== 200) throw new Error(`events: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Polls until the stream has these events, in the order of the record. */
async function expectEvents(stream: string, types: string[]): Promise<RecordedEvent[]> {
  const read = async () => (await feed(`stream_id=${stream}`)).events;
  await expect.poll(async () => (await read()).map(({ type }) => type), { timeout: 10_000 }).toEqual(types);
  return read();
}

function eventOf(aggregate: string, seq: number, fields: Partial<AuditEvent> = {}): AuditEvent {
  const same = { account_id: aggregate, stream_id: null, actor: "admin", request_id: null, data: {} };
  return { id: crypto.randomUUID(), aggregate, seq, type: "stream.updated", ...same, occurred_at: new Date().toISOString(), ...fields };
}

/** Gives messages to the consumer. Returns which were acknowledged, and after how many seconds the others come again. */
async function consume(bodies: { body: unknown; attempts?: number }[], queues = { EVENTS: new HeldQueue(), DELIVERIES: new HeldQueue() }) {
  const messages = bodies.map(({ body, attempts = 1 }, index) => ({ id: String(index), timestamp: new Date(), attempts, body }));
  const batch = createMessageBatch("nova-edge-events", messages);
  // What the pool tells of a batch leaves the delays out.
  const retries = batch.messages.map((message) => vi.spyOn(message, "retry"));
  await consumeEvents(batch, { ...env, ...queues } as unknown as Env);
  const { explicitAcks, retryMessages } = await getQueueResult(batch, createExecutionContext());
  const retried = retryMessages.map(({ msgId }) => [msgId, retries[Number(msgId)]?.mock.lastCall?.[0]?.delaySeconds]);
  return { acked: explicitAcks.map(Number), retried: Object.fromEntries(retried) };
}

async function recorded(aggregate: string): Promise<[number, string][]> {
  const { results } = await env.DB.prepare("SELECT seq, id FROM events WHERE aggregate = ? ORDER BY position").bind(aggregate).all();
  return results.map(({ seq, id }) => [seq as number, id as string]);
}

describe("from a change to the feed, through the queue", () => {
  it("what the API changes is in the feed, with who and in which request", async () => {
    const { id, stream_key } = await createStream({ title: "First", tags: ["news"] });
    await askApi("PATCH", `/api/v1/streams/${id}`, { title: "Second" });
    await askApi("DELETE", `/api/v1/streams/${id}`);
    const events = await expectEvents(id, ["stream.created", "stream.updated", "stream.deleted"]);
    expect(events.map(({ seq, aggregate, actor }) => [seq, aggregate, actor])).toEqual(
      [1, 2, 3].map((seq) => [seq, `stream:${id}`, "admin"]),
    );
    expect(events[0]).toMatchObject({ account_id: "admin", stream_id: id, data: { id, title: "First", tags: ["news"] } });
    expect(events[1]?.data).toEqual({ changes: { title: "Second" } });
    expect(events[0]?.request_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(new Set(events.map(({ request_id }) => request_id)).size).toBe(3);
    expect(JSON.stringify(events)).not.toContain(stream_key);
    await expect.poll(() => env.DB.prepare("SELECT count(*) AS rest FROM outbox").first("rest")).toBe(0);
  });

  it("what encoders do to a broadcast is there in order, each event once", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.end("idle");
    const again = await OriginCalls.publish(stream_key);
    await again.begin();
    await again.end("unpublished");
    await expect.poll(async () => (await feed(`stream_id=${id}&type=broadcast.ended`)).events.length, { timeout: 10_000 }).toBe(1);
    const events = (await feed(`stream_id=${id}`)).events.filter(({ aggregate }) => aggregate === `broadcast:${id}`);
    expect(events.map(({ seq, type }) => [seq, type])).toEqual([
      [1, "broadcast.started"],
      [2, "broadcast.reconnecting"],
      [3, "broadcast.resumed"],
      [4, "broadcast.ended"],
    ]);
    expect(new Set(events.map(({ actor }) => actor))).toEqual(new Set(["origin:origin-1"]));
    expect(events[0]?.data).toEqual({ broadcast: 1 });
    expect(events[3]?.data).toMatchObject({ broadcast: 1, reason: "unpublished", peak_viewers: 0, duration_seconds: expect.any(Number) });
    expect(JSON.stringify(events)).not.toContain(stream_key);
  });

  it("a stream that was never live ends without a broadcast", async () => {
    const { id } = await createStream();
    await askApi("DELETE", `/api/v1/streams/${id}`);
    await expectEvents(id, ["stream.created", "stream.deleted"]);
    expect(await runInDurableObject(liveStreamOf(id), (_, { storage }) => storage.sql.exec("SELECT * FROM outbox").toArray())).toEqual([]);
  });
});

describe("the object's outbox", () => {
  it("keeps events while the queue is away, over an eviction, and what is live goes on", async () => {
    const { id, stream_key } = await createStream();
    const object = liveStreamOf(id);
    const away = vi.spyOn(env.EVENTS, "sendBatch").mockRejectedValue(new Error("the queue is away"));
    const waiting = () =>
      runInDurableObject(object, (_, { storage }) => storage.sql.exec("SELECT seq FROM outbox WHERE due_at = 0").toArray().length);
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.pushSegments(1, 1);
    expect(away).toHaveBeenCalled();
    expect(await waiting()).toBe(1);
    await evictDurableObject(object);
    expect((await origin.heartbeat()).status).toBe(200);
    await origin.end("idle");
    expect(await waiting()).toBe(2);
    expect((await feed(`stream_id=${id}&type=broadcast.started`)).events).toEqual([]);
    away.mockRestore();
    await expect.poll(waiting, { timeout: 15_000 }).toBe(0);
    await expect.poll(async () => (await feed(`stream_id=${id}&type=broadcast.reconnecting`)).events.length, { timeout: 10_000 }).toBe(1);
    const events = (await feed(`stream_id=${id}`)).events.filter(({ aggregate }) => aggregate.startsWith("broadcast:"));
    expect(events.map(({ seq, type }) => [seq, type])).toEqual([
      [1, "broadcast.started"],
      [2, "broadcast.reconnecting"],
    ]);
  });
});

describe("an event that the queue has lost", () => {
  it("of a change is sent again after two minutes, and not before", async () => {
    const event = eventOf(crypto.randomUUID(), 1);
    await env.DB.exec("DELETE FROM outbox");
    await env.DB.prepare("INSERT INTO outbox (event_id, event, created_at) VALUES (?, ?, 0)").bind(event.id, JSON.stringify(event)).run();
    const lost = new HeldQueue() as unknown as Queue;
    const now = Date.now();
    expect(await relayOutbox({ DB: env.DB, EVENTS: lost }, now)).toBe(1);
    expect(await relayOutbox({ DB: env.DB, EVENTS: lost }, now + 119_000)).toBe(0);
    expect(await relayOutbox(env, now + 121_000)).toBe(1);
    const rest = () => env.DB.prepare("SELECT event_id FROM outbox WHERE event_id = ?").bind(event.id).first("event_id");
    await expect.poll(rest, { timeout: 10_000 }).toBeNull();
    expect(await env.DB.prepare("SELECT seq FROM events WHERE id = ?").bind(event.id).first("seq")).toBe(1);
  });

  /** What became of a stream's broadcasts, as the feed tells it. */
  const broadcastsOf = async (stream: string) =>
    (await feed(`stream_id=${stream}`)).events.map(({ type }) => type).filter((type) => type.startsWith("broadcast."));
  const outboxOf = (object: ReturnType<typeof liveStreamOf>) =>
    runInDurableObject(object, (_, { storage }) =>
      storage.sql.exec<{ seq: number; event: string; due_at: number }>("SELECT * FROM outbox").toArray(),
    );
  /** Two minutes later, in another life of the object. */
  const later = async (object: ReturnType<typeof liveStreamOf>) => {
    await runInDurableObject(object, (_, { storage }) => void storage.sql.exec("UPDATE outbox SET due_at = 1"));
    await evictDurableObject(object);
    await object.facts();
  };

  it("of a broadcast is looked for in the record after two minutes, sent again where it is not there, and then forgotten", async () => {
    const { id, stream_key } = await createStream();
    const object = liveStreamOf(id);
    await expectEvents(id, ["stream.created"]);
    const lost = vi.spyOn(env.EVENTS, "sendBatch").mockResolvedValueOnce({ metadata: { metrics: {} } } as never);
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await expect.poll(() => lost.mock.calls.length).toBe(1);
    await origin.end("unpublished");
    await expect.poll(async () => (await outboxOf(object)).map(({ due_at }) => due_at > 0)).toEqual([true, true]);
    await later(object);
    await expect.poll(() => broadcastsOf(id), { timeout: 20_000 }).toEqual(["broadcast.started", "broadcast.ended"]);
    await later(object);
    await expect.poll(() => outboxOf(object)).toEqual([]);
    lost.mockRestore();
  });

  it("of a broadcast is not forgotten where one after it was recorded", async () => {
    const { id, stream_key } = await createStream();
    const object = liveStreamOf(id);
    await expectEvents(id, ["stream.created"]);
    const lost = vi.spyOn(env.EVENTS, "sendBatch").mockResolvedValue({ metadata: { metrics: {} } } as never);
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.end("idle");
    await expect.poll(async () => (await outboxOf(object)).map(({ due_at }) => due_at > 0)).toEqual([true, true]);
    lost.mockRestore();
    const [, second] = await outboxOf(object);
    // It has waited for the first one long enough.
    await consume([{ body: { ...JSON.parse(second?.event ?? ""), seq: 2 }, attempts: GAP_ATTEMPTS }]);
    await later(object);
    await expect.poll(() => broadcastsOf(id), { timeout: 20_000 }).toEqual(["broadcast.reconnecting", "broadcast.started"]);
  });
});

describe("a change and its event", () => {
  const by = { accountId: "admin", actor: "admin", requestId: null };
  const outboxOf = async (stream: string) =>
    (await env.DB.prepare("SELECT event FROM outbox WHERE sent_at = 0 AND event LIKE ?").bind(`%${stream}%`).all()).results.length;

  it("are one transaction: where the batch fails there is neither", async () => {
    const { id } = await createStream();
    await expectEvents(id, ["stream.created"]);
    const db = drizzle(env.DB);
    const failing = db.batch([
      db.run(`UPDATE streams SET title = 'Changed' WHERE id = '${id}'`),
      ...outboxStatements(db, streamEvent(by, id, "stream.updated", {}, Date.now())),
      db.run("INSERT INTO accounts (id, name, created_at) VALUES ('admin', 'again', 0)"),
    ]);
    await expect(failing).rejects.toThrow();
    expect(await env.DB.prepare("SELECT title FROM streams WHERE id = ?").bind(id).first("title")).toBe("Test");
    expect(await outboxOf(id)).toBe(0);
    expect(await env.DB.prepare("SELECT issued FROM aggregates WHERE id = ?").bind(`stream:${id}`).first("issued")).toBe(1);
  });

  it("a change that lost the race leaves no event, and takes no number", async () => {
    const { id } = await createStream();
    await expectEvents(id, ["stream.created"]);
    const streams = new Streams(env.DB);
    expect(await streams.update(id, 1, { title: "Second" }, by, Date.now())).not.toBeNull();
    expect(await streams.update(id, 1, { title: "Third" }, by, Date.now())).toBeNull();
    expect(await outboxOf(id)).toBe(1);
    await streams.delete(id, by, Date.now());
    expect(await streams.delete(id, by, Date.now())).toBe(false);
    expect(await outboxOf(id)).toBe(2);
    await relayOutbox(env, Date.now());
    const events = await expectEvents(id, ["stream.created", "stream.updated", "stream.deleted"]);
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });
});

describe("the relay", () => {
  it("sends in order, in batches that a queue takes, and an event that is too large without its data", async () => {
    await env.DB.exec("DELETE FROM outbox");
    const insert = env.DB.prepare("INSERT INTO outbox (event_id, event, created_at) VALUES (?, ?, 0)");
    const large = eventOf("large", 1, { data: { text: "x".repeat(130_000) } });
    const events = [...Array.from({ length: 150 }, (_, index) => eventOf("many", index + 1, { data: { text: "x".repeat(2_000) } })), large];
    await env.DB.batch(events.map((event) => insert.bind(event.id, JSON.stringify(event))));
    const queue = new HeldQueue();
    const send = vi.spyOn(queue, "sendBatch");
    expect(await relayOutbox({ DB: env.DB, EVENTS: queue as unknown as Queue }, Date.now())).toBe(151);
    expect((queue.sent as AuditEvent[]).map(({ id }) => id)).toEqual(events.map(({ id }) => id));
    expect((queue.sent.at(-1) as AuditEvent).data).toEqual({ omitted: "too large" });
    for (const [messages] of send.mock.calls) {
      expect([...messages].length).toBeLessThanOrEqual(100);
      expect(JSON.stringify([...messages]).length).toBeLessThan(256_000);
    }
  });
});

describe("the consumer", () => {
  it("sorts a batch, acknowledges duplicates, and lets what comes too early wait", async () => {
    const [one, two, three, five] = [1, 2, 3, 5].map((seq) => eventOf("order", seq)) as [AuditEvent, AuditEvent, AuditEvent, AuditEvent];
    expect(await consume([{ body: five }, { body: two }, { body: one }, { body: two }])).toEqual({ acked: [1, 2, 3], retried: { 0: 1 } });
    expect(await consume([{ body: five, attempts: 5 }])).toEqual({ acked: [], retried: { 0: 15 } });
    expect(await consume([{ body: one }, { body: three }])).toEqual({ acked: [0, 1], retried: {} });
    expect(await recorded("order")).toEqual([one, two, three].map(({ seq, id }) => [seq, id]));
    // The fourth is lost for ever.
    const warn = vi.spyOn(console, "warn").mockReturnValue();
    expect((await consume([{ body: five, attempts: GAP_ATTEMPTS }])).acked).toEqual([0]);
    expect(warn.mock.calls.flat().join()).toContain("event_gap");
    // Or it is not: it has not been recorded, and so it is not dropped.
    const four = eventOf("order", 4);
    expect((await consume([{ body: four }])).acked).toEqual([0]);
    expect((await recorded("order")).slice(3)).toEqual([
      [5, five.id],
      [6, four.id],
    ]);
    expect((await consume([{ body: four }])).acked).toEqual([0]);
    expect(await recorded("order")).toHaveLength(5);
  });

  it("sends what is no event to the dead letter queue, and records the others", async () => {
    const error = vi.spyOn(console, "error").mockReturnValue();
    const good = eventOf("mixed", 1);
    const bad = { ...eventOf("mixed", 2), type: "stream.exploded", data: { secret: "hunter2" } };
    expect(await consume([{ body: bad }, { body: "nonsense" }, { body: good }])).toEqual({ acked: [2], retried: { 0: 2, 1: 2 } });
    expect(error.mock.calls.flat().join()).not.toContain("hunter2");
    expect(await recorded("mixed")).toHaveLength(1);
  });

  it("however long D1 is away, nothing ends in the dead letter queue for it", async () => {
    const error = vi.spyOn(console, "error").mockReturnValue();
    const away = vi.spyOn(env.DB, "batch").mockRejectedValue(new Error("D1_ERROR: away"));
    const queues = { EVENTS: new HeldQueue(), DELIVERIES: new HeldQueue() };
    const event = eventOf("outage", 1);
    for (let attempts = 1; attempts < 6; attempts++) {
      expect(await consume([{ body: event, attempts }], queues)).toEqual({ acked: [], retried: { 0: Math.min(2 ** attempts, 30) } });
    }
    expect(await consume([{ body: event, attempts: 6 }], queues)).toEqual({ acked: [0], retried: {} });
    expect(queues.EVENTS.sent).toEqual([event]);
    expect(error).toHaveBeenCalledTimes(6);
    away.mockRestore();
    expect((await consume([{ body: queues.EVENTS.sent[0] }])).acked).toEqual([0]);
    expect(await recorded("outage")).toHaveLength(1);
  });

  it("makes a delivery for each webhook that wants the event, and that was there before it", async () => {
    await env.DB.prepare("INSERT INTO accounts (id, name, created_at) VALUES ('hooked', 'Hooked', 0)").run();
    const hook = env.DB.prepare(
      "INSERT INTO webhooks (id, account_id, url, event_types, secret, enabled, created_at, updated_at) VALUES (?, ?, 'https://example.com', ?, '', ?, ?, 0)",
    );
    await env.DB.batch([
      hook.bind("all", "hooked", "[]", 1, 0),
      hook.bind("right", "hooked", '["stream.deleted","stream.updated"]', 1, 0),
      hook.bind("other", "hooked", '["stream.deleted"]', 1, 0),
      hook.bind("off", "hooked", "[]", 0, 0),
      hook.bind("late", "hooked", "[]", 1, Date.now() + 60_000),
      hook.bind("foreign", "admin", "[]", 1, 0),
    ]);
    const event = eventOf("hooked", 1, { data: { title: 'ä "quoted"' } });
    const queues = { EVENTS: new HeldQueue(), DELIVERIES: new HeldQueue() };
    await consume([{ body: event }], queues);
    const { results } = await env.DB.prepare("SELECT * FROM webhook_deliveries WHERE event_id = ? ORDER BY webhook_id")
      .bind(event.id)
      .all();
    expect(results.map(({ webhook_id }) => webhook_id)).toEqual(["all", "right"]);
    expect(results[0]).toMatchObject({ account_id: "hooked", event_type: "stream.updated", status: "pending", attempts: 0 });
    expect(results[0]?.next_attempt_at).toBe(results[0]?.created_at);
    expect(JSON.parse(results[0]?.body as string)).toEqual(event);
    expect(results[0]?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const ids = results.map(({ id }) => ({ delivery_id: id }));
    expect(queues.DELIVERIES.sent).toEqual(ids);
    // Died before it was acknowledged: the deliveries are sent again, those that were not attempted.
    await env.DB.prepare("UPDATE webhook_deliveries SET attempts = 1 WHERE webhook_id = 'all'").run();
    await consume([{ body: event }], queues);
    expect(queues.DELIVERIES.sent).toEqual([...ids, ids[1]]);
  });
});

describe("GET /api/v1/events", () => {
  it("pages without a miss or a repetition, and goes on where it was", async () => {
    const events = Array.from({ length: 7 }, (_, index) => eventOf("paged", index + 1, { account_id: "admin", stream_id: "paged" }));
    await consume(events.slice(0, 5).map((body) => ({ body })));
    const seen: string[] = [];
    const take = async (after: string | null) => {
      const page = await feed(`stream_id=paged&limit=2${after === null ? "" : `&after=${after}`}`);
      seen.push(...page.events.map(({ id }) => id));
      return page.next_cursor;
    };
    let cursor = await take(null);
    for (let page = 0; page < 4; page++) cursor = await take(cursor);
    expect(seen).toEqual(events.slice(0, 5).map(({ id }) => id));
    await consume(events.slice(5).map((body) => ({ body })));
    cursor = await take(cursor);
    expect(seen).toEqual(events.map(({ id }) => id));
    expect((await feed(`stream_id=paged&after=${cursor}`)).next_cursor).toBe(cursor);

    const newest = await feed("stream_id=paged&order=desc&limit=3");
    expect(newest.events.map(({ seq }) => seq)).toEqual([7, 6, 5]);
    const older = await feed(`stream_id=paged&order=desc&limit=4&after=${newest.next_cursor}`);
    expect([older.events.map(({ seq }) => seq), older.next_cursor]).toEqual([[4, 3, 2, 1], null]);
    // Any event's cursor is a place to begin at.
    expect((await feed(`stream_id=paged&after=${newest.events[1]?.cursor}`)).events.map(({ seq }) => seq)).toEqual([7]);
  });

  it("shows an account its own events only, and refuses what it does not know", async () => {
    await consume([{ body: eventOf("foreign", 1, { stream_id: "foreign-stream" }) }]);
    expect((await feed("stream_id=foreign-stream")).events).toEqual([]);
    expect((await feed("limit=100&order=desc")).events.filter(({ account_id }) => account_id !== "admin")).toEqual([]);
    for (const query of ["after=x", "after=-1", "after=1.5"]) {
      const answer = await askApi("GET", `/api/v1/events?${query}`);
      expect([query, answer.status, ((await answer.json()) as { error: string }).error]).toEqual([query, 400, "invalid_cursor"]);
    }
    for (const query of ["limit=0", "limit=101", "type=nope", "order=up", "colour=red"]) {
      expect([query, (await askApi("GET", `/api/v1/events?${query}`)).status]).toEqual([query, 400]);
    }
  });

  it.each([
    ["account", {}, "events_account"],
    ["type", { type: "stream.created" as const }, "events_account_type"],
    ["stream", { stream_id: "x" }, "events_stream"],
    ["stream and type", { stream_id: "x", type: "stream.created" as const }, "events_stream"],
  ])("finds events by %s through an index, in order", async (_what, filter, index) => {
    for (const order of ["asc", "desc"] as const) {
      for (const after of [null, 7]) {
        const { sql, parameters } = feedQuery("admin", { ...filter, order, limit: 10 }, after);
        const { results } = await env.DB.prepare(`EXPLAIN QUERY PLAN ${sql}`)
          .bind(...parameters)
          .all<{ detail: string }>();
        expect(results.map(({ detail }) => detail)).toEqual([expect.stringMatching(new RegExp(`^SEARCH events USING INDEX ${index} `))]);
      }
    }
  });
});
