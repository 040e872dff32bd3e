import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { isoTime } from "../../domain/time.ts";
import { MAX_ATTEMPTS } from "../../domain/webhooks/retry-schedule.ts";
import { Deliveries, type DeliveryRow } from "../../workers/store/deliveries.ts";
import { attemptDelivery } from "../../workers/webhooks/attempt.ts";
import { beginDeliveries, sweepDeliveries } from "../../workers/webhooks/deliver.ts";
import { sealSecrets } from "../../workers/webhooks/signing.ts";
import { hmacHex, Internet } from "./webhooks-internet.ts";

const SECRET = "whsec_test-secret";
const HOUR = 3_600_000;

/** What the consumer and the sweep have put into the queue. */
let queued: { delivery_id: string; delaySeconds: number }[];
let isQueueUp: boolean;
let own: Env;
let internet: Internet;
let logs: string[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  internet = new Internet();
  queued = [];
  isQueueUp = true;
  logs = [];
  vi.spyOn(console, "error").mockImplementation((line: string) => void logs.push(line));
  const put = (body: unknown, delaySeconds = 0) => {
    if (!isQueueUp) throw new Error("Queue is overloaded");
    queued.push({ ...(body as { delivery_id: string }), delaySeconds });
  };
  const DELIVERIES = {
    send: async (body: unknown, options?: QueueSendOptions) => put(body, options?.delaySeconds),
    sendBatch: async (messages: Iterable<MessageSendRequest>) => {
      for (const { body } of messages) put(body);
    },
  } as unknown as Queue;
  own = { ...env, DELIVERIES };
});

afterEach(async () => {
  internet.restore();
  vi.restoreAllMocks();
  vi.useRealTimers();
  await env.DB.batch([env.DB.prepare("DELETE FROM webhooks"), env.DB.prepare("DELETE FROM webhook_deliveries")]);
});

async function makeWebhook(fields: { url?: string; enabled?: boolean; secret?: string } = {}): Promise<string> {
  const id = crypto.randomUUID();
  const secret = fields.secret ?? (await sealSecrets(env, id, { current: SECRET, previous: null }));
  await env.DB.prepare(
    "INSERT INTO webhooks (id, account_id, url, event_types, secret, enabled, created_at, updated_at) VALUES (?, 'admin', ?, '[]', ?, ?, 0, 0)",
  )
    .bind(id, fields.url ?? "https://hooks.example.com/nova", secret, fields.enabled === false ? 0 : 1)
    .run();
  return id;
}

/** A delivery that is due now, as the record of events makes them. */
async function makeDelivery(webhookId: string): Promise<string> {
  const eventId = crypto.randomUUID();
  const event = { id: eventId, type: "stream.created", occurred_at: isoTime(Date.now()), data: { title: "Grüße 🎥" } };
  const delivery = { webhookId, accountId: "admin", eventId, eventType: "stream.created", body: JSON.stringify(event) } as const;
  return (await new Deliveries(env.DB).create(delivery, Date.now())).id;
}

async function read(id: string): Promise<DeliveryRow> {
  const row = await env.DB.prepare(
    "SELECT id, status, attempts, next_attempt_at AS nextAttemptAt, last_status AS lastStatus, last_error AS lastError, event_id AS eventId, body FROM webhook_deliveries WHERE id = ?",
  )
    .bind(id)
    .first<DeliveryRow>();
  if (row === null) throw new Error("no such delivery");
  return row;
}

async function consume(...bodies: unknown[]) {
  const messages = bodies.map((body, index) => ({ id: String(index), timestamp: Date.now(), attempts: 1, body }));
  const batch = createMessageBatch("nova-edge-deliveries", messages);
  const ctx = createExecutionContext();
  const { ended } = await beginDeliveries(batch, own);
  await ended;
  return getQueueResult(batch, ctx);
}

const deliver = (...ids: string[]) => consume(...ids.map((delivery_id) => ({ delivery_id })));

describe("a delivery", () => {
  it("is one POST of the event, signed so that others can check it", async () => {
    const id = await makeDelivery(await makeWebhook());
    expect(await deliver(id)).toMatchObject({ retryMessages: [] });
    const { eventId, body, ...row } = await read(id);
    expect(row).toMatchObject({ status: "delivered", attempts: 1, nextAttemptAt: null, lastStatus: 200, lastError: null });
    expect(internet.received).toHaveLength(1);
    const [received] = internet.received;
    expect(received).toMatchObject({ url: "https://hooks.example.com/nova", body });
    const headers = Object.fromEntries(received?.headers ?? []);
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "user-agent": "NovaEdge-Webhooks/1",
      "nova-event-id": eventId,
      "nova-event-type": "stream.created",
      "nova-delivery-id": id,
    });
    const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers["nova-signature"] ?? "") ?? [];
    expect(Math.abs(Number(t) - Date.now() / 1000)).toBeLessThan(2);
    expect(v1).toBe(await hmacHex(SECRET, `${t}.${received?.body}`));
    expect(queued).toEqual([]);
  });

  it("is sent once, though it is named twice, and two consumers have it", async () => {
    const id = await makeDelivery(await makeWebhook());
    await Promise.all([deliver(id, id), deliver(id)]);
    await deliver(id);
    expect(internet.received).toHaveLength(1);
    expect(await read(id)).toMatchObject({ status: "delivered", attempts: 1 });
  });

  it("carries both signatures while its secret is being changed", async () => {
    const webhook = await makeWebhook();
    const secret = await sealSecrets(env, webhook, { current: "new", previous: { secret: SECRET, until: Date.now() + HOUR } });
    await env.DB.prepare("UPDATE webhooks SET secret = ? WHERE id = ?").bind(secret, webhook).run();
    for (const expected of [["new", SECRET], ["new"]]) {
      const id = await makeDelivery(webhook);
      await deliver(id);
      const { headers, body } = internet.receivedWith("Nova-Delivery-Id", id)[0] as { headers: Headers; body: string };
      const [t, ...signatures] = (headers.get("Nova-Signature") ?? "").split(",");
      const text = `${t?.slice(2)}.${body}`;
      expect(signatures).toEqual(await Promise.all(expected.map(async (key) => `v1=${await hmacHex(key, text)}`)));
      vi.setSystemTime(Date.now() + 2 * HOUR);
    }
  });
});

describe("an attempt that fails", () => {
  const down = () => new Response("secret words of the receiver", { status: 500 });

  it("is made again for a day, each time signed anew, and then the delivery is dead", async () => {
    internet.servers["hooks.example.com"] = down;
    const id = await makeDelivery(await makeWebhook());
    const start = Date.now();
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt++) {
      await deliver(id);
      const row = await read(id);
      expect(row).toMatchObject({ status: "pending", attempts: attempt, lastStatus: 500, lastError: "http_status" });
      const wait = (row.nextAttemptAt as number) - Date.now();
      // The queue brings it back when it is due, and not before.
      expect(queued.pop()).toEqual({ delivery_id: id, delaySeconds: Math.ceil(wait / 1000) });
      if (wait > 10_000) {
        vi.setSystemTime(Date.now() + wait - 5_000);
        await deliver(id);
        expect((await read(id)).attempts).toBe(attempt);
      }
      vi.setSystemTime((row.nextAttemptAt as number) + 1);
    }
    await deliver(id);
    expect(await read(id)).toMatchObject({ status: "dead", attempts: MAX_ATTEMPTS, nextAttemptAt: null, lastStatus: 500 });
    expect(queued).toEqual([]);
    expect(Date.now() - start).toBeGreaterThan(21 * HOUR);
    expect(internet.received).toHaveLength(MAX_ATTEMPTS);
    expect(new Set(internet.received.map(({ headers }) => headers.get("Nova-Signature"))).size).toBe(MAX_ATTEMPTS);
    expect(new Set(internet.received.map(({ body }) => body)).size).toBe(1);
    const stored = await env.DB.prepare("SELECT * FROM webhook_deliveries").first();
    expect(JSON.stringify([stored, logs])).not.toContain("secret words");
    await deliver(id);
    expect(internet.received).toHaveLength(MAX_ATTEMPTS);
  });

  it("is made again by whichever address the webhook has by then", async () => {
    internet.servers["hooks.example.com"] = down;
    internet.names["other.example.com"] = ["93.184.215.15"];
    internet.servers["other.example.com"] = () => new Response(null, { status: 204 });
    const webhook = await makeWebhook();
    const id = await makeDelivery(webhook);
    await deliver(id);
    await env.DB.prepare("UPDATE webhooks SET url = 'https://other.example.com/' WHERE id = ?").bind(webhook).run();
    vi.setSystemTime(Date.now() + 6_000);
    await deliver(id);
    expect(await read(id)).toMatchObject({ status: "delivered", attempts: 2, lastStatus: 204, lastError: null });
  });

  it.each([301, 302, 307, 308])("a redirect (%i) is one, and is not followed", async (status) => {
    internet.servers["hooks.example.com"] = () => new Response(null, { status, headers: { Location: "https://169.254.169.254/" } });
    const id = await makeDelivery(await makeWebhook());
    await deliver(id);
    expect(await read(id)).toMatchObject({ status: "pending", lastStatus: status, lastError: "redirect" });
    expect(internet.received).toHaveLength(1);
  });

  it("a server that never answers is one after ten seconds, and does not hold up the others of its batch", async () => {
    internet.names["slow.example.com"] = ["93.184.215.16"];
    internet.servers["slow.example.com"] = () => new Promise(() => undefined);
    const limit = new AbortController();
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => (ms === 10_000 ? limit.signal : new AbortController().signal));
    const slow = await makeDelivery(await makeWebhook({ url: "https://slow.example.com/" }));
    const quick = await makeDelivery(await makeWebhook());
    const consumed = deliver(slow, quick);
    await vi.waitFor(async () => expect(await read(quick)).toMatchObject({ status: "delivered" }));
    expect(await read(slow)).toMatchObject({ status: "pending", attempts: 1, lastError: null });
    limit.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    await consumed;
    await vi.waitFor(async () => {
      expect(await read(slow)).toMatchObject({ status: "pending", attempts: 1, lastStatus: null, lastError: "timeout" });
    });
  });

  it("so are a server that is away, and a name that leads inside since it was set", async () => {
    delete internet.servers["hooks.example.com"];
    const away = await makeDelivery(await makeWebhook());
    await deliver(away);
    expect(await read(away)).toMatchObject({ status: "pending", lastStatus: null, lastError: "connection_failed" });
    internet.names["hooks.example.com"] = ["127.0.0.1"];
    const turned = await makeDelivery(await makeWebhook());
    await deliver(turned);
    expect(await read(turned)).toMatchObject({ status: "pending", lastError: "address_not_public" });
    expect(internet.receivedWith("Nova-Delivery-Id", turned)).toEqual([]);
  });

  it("so are a resolver that is away, an address that was allowed once, and a secret that cannot be read", async () => {
    internet.isResolverUp = false;
    const id = await makeDelivery(await makeWebhook());
    const loopback = await makeDelivery(await makeWebhook({ url: "http://127.0.0.1:8080/" }));
    const unreadable = await makeDelivery(await makeWebhook({ secret: "v1.AAAA" }));
    await deliver(id, loopback, unreadable);
    expect(await read(id)).toMatchObject({ status: "pending", lastError: "lookup_failed" });
    expect(await read(loopback)).toMatchObject({ status: "pending", lastError: "url_not_allowed" });
    expect(await read(unreadable)).toMatchObject({ status: "pending", lastError: "secret_unreadable" });
    expect(internet.received).toEqual([]);
  });
});

describe("what is pending", () => {
  it("ends where its webhook is disabled or gone", async () => {
    const disabled = await makeDelivery(await makeWebhook({ enabled: false }));
    const orphan = await makeDelivery(crypto.randomUUID());
    await deliver(disabled, orphan);
    expect(await read(disabled)).toMatchObject({ status: "dead", lastError: "webhook_disabled" });
    expect(await read(orphan)).toMatchObject({ status: "dead", lastError: "webhook_deleted" });
    expect(internet.received).toEqual([]);
  });

  it("is taken up again a minute after its consumer died in the middle of it", async () => {
    const id = await makeDelivery(await makeWebhook());
    expect(await new Deliveries(env.DB).claim(id, Date.now())).not.toBeNull();
    await sweepDeliveries(own, Date.now());
    expect(queued).toEqual([]);
    await deliver(id);
    expect(internet.received).toEqual([]);
    vi.setSystemTime(Date.now() + 80_000);
    await sweepDeliveries(own, Date.now());
    expect(queued).toEqual([{ delivery_id: id, delaySeconds: 0 }]);
    await deliver(id);
    expect(await read(id)).toMatchObject({ status: "delivered", attempts: 2 });
  });

  it("ends where every consumer dies of it", async () => {
    const id = await makeDelivery(await makeWebhook());
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      await new Deliveries(env.DB).claim(id, Date.now());
      vi.setSystemTime(Date.now() + 61_000);
    }
    await deliver(id);
    expect(await read(id)).toMatchObject({ status: "dead", lastError: "interrupted" });
    expect(internet.received).toEqual([]);
  });

  it("is not overruled by a consumer that comes back late", async () => {
    const id = await makeDelivery(await makeWebhook());
    const deliveries = new Deliveries(env.DB);
    const late = await deliveries.claim(id, Date.now());
    vi.setSystemTime(Date.now() + 61_000);
    await deliver(id);
    const result = { status: "dead", nextAttemptAt: null, lastStatus: null, lastError: "timeout" } as const;
    expect(late && (await deliveries.settle(late, result))).toBeNull();
    expect(await read(id)).toMatchObject({ status: "delivered" });
  });

  it("is found by the sweep where the queue was away, a hundred messages at a time", async () => {
    internet.servers["hooks.example.com"] = () => new Response(null, { status: 503 });
    const webhook = await makeWebhook();
    const id = await makeDelivery(webhook);
    isQueueUp = false;
    expect(await deliver(id)).toMatchObject({ retryMessages: [] });
    expect(await read(id)).toMatchObject({ status: "pending", attempts: 1 });
    expect(logs.map((line) => JSON.parse(line))).toEqual([expect.objectContaining({ event: "delivery_not_queued", delivery_id: id })]);
    isQueueUp = true;
    const others = await Promise.all(Array.from({ length: 120 }, () => makeDelivery(webhook)));
    vi.setSystemTime(Date.now() + 30_000);
    await sweepDeliveries(own, Date.now());
    expect(queued.map(({ delivery_id }) => delivery_id).toSorted()).toEqual([id, ...others].toSorted());
  });

  it("goes back to the queue where D1 does not answer, and nothing of it is logged", async () => {
    const id = await makeDelivery(await makeWebhook());
    const { body } = await read(id);
    own = {
      ...own,
      DB: { prepare: env.DB.prepare.bind(env.DB), batch: () => Promise.reject(new Error("D1_ERROR: down")) } as unknown as D1Database,
    };
    expect(await deliver(id)).toMatchObject({ retryMessages: [{ msgId: "0" }] });
    expect(logs.join("\n")).toContain("delivery_failed");
    expect(logs.join("\n")).not.toContain(body);
    await expect(attemptDelivery(own, id)).rejects.toThrow();
  });

  it("a message that names none is dropped", async () => {
    expect(await consume({ nothing: 1 }, null, { delivery_id: "made-up" })).toMatchObject({ retryMessages: [] });
    expect(logs).toHaveLength(2);
  });
});

describe("a receiver that is silent", () => {
  const SILENT = "https://silent.example.com/";

  beforeEach(() => {
    internet.names["silent.example.com"] = ["93.184.215.17"];
  });

  it("is sent nothing more for a while: what comes then goes back to the queue, and what stays is left to the sweep, unclaimed", async () => {
    const webhook = await makeWebhook({ url: SILENT });
    await deliver(await makeDelivery(webhook));
    expect(internet.received).toHaveLength(1);
    queued = [];
    const ids = await Promise.all(Array.from({ length: 5 }, () => makeDelivery(webhook)));
    await deliver(...ids);
    expect(queued.map(({ delaySeconds }) => delaySeconds)).toEqual(Array(5).fill(10));
    vi.setSystemTime(Date.now() + 10_001);
    await deliver(...ids);
    expect(internet.received).toHaveLength(2);
    queued = [];
    await deliver(...ids);
    expect(queued).toEqual([]);
    expect(internet.received).toHaveLength(2);
    const rows = await Promise.all(ids.map(read));
    expect(rows.map(({ status, attempts }) => [status, attempts]).toSorted()).toEqual([...Array(4).fill(["pending", 0]), ["pending", 1]]);
    vi.setSystemTime(Date.now() + 60_000);
    internet.servers["silent.example.com"] = () => new Response("back");
    await sweepDeliveries(own, Date.now());
    await deliver(...queued.map(({ delivery_id }) => delivery_id));
    await deliver(...ids);
    expect((await Promise.all(ids.map(read))).map(({ status }) => status)).toEqual(Array(5).fill("delivered"));
  });

  it("does not keep the queue waiting", async () => {
    const answer = Promise.withResolvers<Response>();
    internet.servers["silent.example.com"] = () => answer.promise;
    const id = await makeDelivery(await makeWebhook({ url: SILENT }));
    const messages = [{ id: "0", timestamp: new Date(), attempts: 1, body: { delivery_id: id } }];
    const { ended } = await beginDeliveries(createMessageBatch("nova-edge-deliveries", messages), own);
    expect(await read(id)).toMatchObject({ status: "pending", attempts: 1 });
    answer.resolve(new Response("at last"));
    await ended;
    expect(await read(id)).toMatchObject({ status: "delivered" });
  });
});

it("a quick receiver has no more than five attempts under way, and gets all of a burst", async () => {
  let underWay = 0;
  let most = 0;
  internet.servers["hooks.example.com"] = async () => {
    most = Math.max(most, ++underWay);
    await scheduler.wait(10);
    underWay -= 1;
    return new Response("thanks");
  };
  const webhook = await makeWebhook();
  const ids = await Promise.all(Array.from({ length: 60 }, () => makeDelivery(webhook)));
  let open = ids;
  while (open.length > 0) {
    await deliver(...open);
    open = queued.splice(0).map(({ delivery_id }) => delivery_id);
    vi.setSystemTime(Date.now() + 1_000);
  }
  expect((await Promise.all(ids.map(read))).map(({ status, attempts }) => [status, attempts])).toEqual(Array(60).fill(["delivered", 1]));
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(5);
});
