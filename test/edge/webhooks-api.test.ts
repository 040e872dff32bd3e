import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { DeliveryResource, WebhookResource } from "../../domain/protocol/api/webhooks.ts";
import { Deliveries } from "../../workers/store/deliveries.ts";
import { askApi, ask as askRaw } from "./edge.ts";
import { hmacHex, Internet, type Received } from "./webhooks-internet.ts";

type Created = WebhookResource & { secret: string };

const URL_ = "https://hooks.example.com/nova?token=of-the-receiver";

let internet: Internet;
let logs: string[];
beforeEach(() => {
  internet = new Internet();
  logs = [];
  for (const level of ["log", "warn", "error"] as const) {
    const print = console[level].bind(console);
    vi.spyOn(console, level).mockImplementation((...args: unknown[]) => {
      logs.push(args.join(" "));
      print(...args);
    });
  }
});
afterEach(async () => {
  vi.restoreAllMocks();
  internet.restore();
  await env.DB.batch([env.DB.prepare("DELETE FROM webhooks"), env.DB.prepare("DELETE FROM webhook_deliveries")]);
});

/** A webhook that wants nothing that happens here, unless it is told to. */
async function create(fields: object = {}): Promise<Created> {
  const answer = await askApi("POST", "/api/v1/webhooks", { url: URL_, event_types: ["broadcast.failed"], ...fields });
  if (answer.status !== 201) throw new Error(`create: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function read<Body = WebhookResource>(answer: Promise<Response>, status = 200): Promise<Body> {
  const { status: actual } = await answer;
  const body = (await (await answer).json()) as Body;
  expect([actual, body]).toEqual([status, body]);
  return body;
}

/** What the record has of a webhook, once it has so many events. */
function eventsOf(webhookId: string, count: number): Promise<{ type: string; data: Record<string, unknown> }[]> {
  const statement = env.DB.prepare("SELECT type, data FROM events WHERE data ->> 'webhook_id' = ? ORDER BY seq").bind(webhookId);
  return vi.waitFor(
    async () => {
      const { results } = await statement.all<{ type: string; data: string }>();
      expect(results).toHaveLength(count);
      return results.map(({ type, data }) => ({ type, data: JSON.parse(data) as Record<string, unknown> }));
    },
    { timeout: 15_000, interval: 100 },
  );
}

describe("webhooks", () => {
  it("are created, and show their secret this once", async () => {
    const answer = await askApi("POST", "/api/v1/webhooks", {
      url: URL_,
      event_types: ["stream.created", "stream.created"],
      description: "Chat",
    });
    expect(answer.status).toBe(201);
    const { secret, ...webhook } = (await answer.json()) as Created;
    expect(webhook).toMatchObject({ url: URL_, description: "Chat", event_types: ["stream.created"], enabled: true });
    // 32 random bytes.
    expect(secret).toMatch(/^whsec_[A-Za-z0-9_-]{43}$/);
    expect(answer.headers.get("Location")).toBe(`/api/v1/webhooks/${webhook.id}`);
    expect(answer.headers.get("ETag")).toBe('"1"');
    expect(await read(askApi("GET", `/api/v1/webhooks/${webhook.id}`))).toEqual(webhook);
    expect(await read(askApi("GET", "/api/v1/webhooks"))).toEqual({ webhooks: [webhook] });
    expect(await eventsOf(webhook.id, 1)).toMatchObject([
      {
        type: "webhook.created",
        data: { webhook_id: webhook.id, host: "hooks.example.com", event_types: ["stream.created"], enabled: true },
      },
    ]);
  });

  it.each([
    [{}, "url"],
    [{ url: "nope" }, "url"],
    [{ url: "ftp://hooks.example.com/" }, "url"],
    [{ url: `https://hooks.example.com/${"x".repeat(2048)}` }, "url"],
    [{ url: URL_, event_types: ["stream.exploded"] }, "event_types.0"],
    [{ url: URL_, event_types: ["webhook.test"] }, "event_types.0"],
    [{ url: URL_, description: "x".repeat(256) }, "description"],
    [{ url: URL_, enabled: "yes" }, "enabled"],
    [{ url: URL_, secret: "mine" }, "secret"],
  ])("%j is refused", async (body, field) => {
    expect(await read(askApi("POST", "/api/v1/webhooks", body), 400)).toMatchObject({ error: "invalid_request", details: [{ field }] });
  });

  it("lead to public addresses only, when they are made and when they are changed", async () => {
    internet.names["trap.example.com"] = ["169.254.169.254"];
    const { id } = await create();
    for (const url of ["https://127.0.0.1/", "http://hooks.example.com/", "https://trap.example.com/", "https://nobody.example.com/"]) {
      expect(await read(askApi("POST", "/api/v1/webhooks", { url }), 400)).toMatchObject({ error: "url_not_allowed" });
      expect(await read(askApi("PATCH", `/api/v1/webhooks/${id}`, { url }), 400)).toMatchObject({ error: "url_not_allowed" });
    }
    expect((await read<{ webhooks: unknown[] }>(askApi("GET", "/api/v1/webhooks"))).webhooks).toHaveLength(1);
    internet.isResolverUp = false;
    expect((await askApi("POST", "/api/v1/webhooks", { url: URL_ })).status).toBe(201);
    expect(await read(askApi("POST", "/api/v1/webhooks", { url: "https://10.0.0.1/" }), 400)).toMatchObject({ error: "url_not_allowed" });
  });

  it("are changed, where nobody else has changed them since", async () => {
    const { id } = await create();
    const path = `/api/v1/webhooks/${id}`;
    const changed = await askApi("PATCH", path, { enabled: false, event_types: ["broadcast.ended"] });
    expect(changed.headers.get("ETag")).toBe('"2"');
    expect(await changed.json()).toMatchObject({ url: URL_, enabled: false, event_types: ["broadcast.ended"] });
    const conditional = (method: string, tag: string, body: string | null) =>
      askRaw(path, { method, headers: { Authorization: "Bearer test-admin-key", "If-Match": tag }, body });
    expect(await read(conditional("PATCH", '"1"', '{"enabled":true}'), 412)).toMatchObject({ error: "revision_mismatch" });
    expect((await conditional("DELETE", '"1"', null)).status).toBe(412);
    expect(await read(conditional("PATCH", '"2"', '{"enabled":true}'))).toMatchObject({ enabled: true });
    expect((await askApi("PATCH", path, {})).status).toBe(400);
    internet.names["other.example.com"] = ["93.184.215.15"];
    await read(askApi("PATCH", path, { url: "https://other.example.com/secret-path" }));
    const events = await eventsOf(id, 4);
    expect(events.map(({ type, data }) => [type, data.changes])).toEqual([
      ["webhook.created", undefined],
      ["webhook.updated", { enabled: false, event_types: ["broadcast.ended"] }],
      ["webhook.updated", { enabled: true }],
      ["webhook.updated", { host: "other.example.com" }],
    ]);
    expect(JSON.stringify(events)).not.toMatch(/secret-path|of-the-receiver/);
  });

  it("changes at once all happen", async () => {
    const { id } = await create();
    const path = `/api/v1/webhooks/${id}`;
    const answers = await Promise.all(
      [{ description: "x" }, { enabled: false }, { event_types: ["stream.deleted"] }].map((body) => askApi("PATCH", path, body)),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await read(askApi("GET", path))).toMatchObject({ description: "x", enabled: false, event_types: ["stream.deleted"] });
  });

  it("changes at once all happen, twenty as well, and so do rotations", async () => {
    const { id } = await create();
    const path = `/api/v1/webhooks/${id}`;
    const all = (act: (index: number) => Promise<Response>) => Promise.all(Array.from({ length: 20 }, (_, index) => act(index)));
    const patched = await all((index) => askApi("PATCH", path, { description: `${index}` }));
    expect(patched.map(({ status }) => status)).toEqual(Array(20).fill(200));
    const rotated = await all(() => askApi("POST", `${path}/rotate-secret`, {}));
    expect(rotated.map(({ status }) => status)).toEqual(Array(20).fill(200));
    const tags = [...patched, ...rotated].map(({ headers }) => headers.get("ETag"));
    expect(new Set(tags).size).toBe(40);
  });

  it("have a URL of 2,048 characters at most as it is kept, too", async () => {
    const url = `https://hooks.example.com/${"é".repeat(400)}`;
    const { id } = await create({ url: url.slice(0, 300) });
    for (const answer of [askApi("POST", "/api/v1/webhooks", { url }), askApi("PATCH", `/api/v1/webhooks/${id}`, { url })]) {
      expect(await read(answer, 400)).toMatchObject({ error: "url_not_allowed" });
    }
  });

  it("are deleted once", async () => {
    const { id } = await create();
    expect((await askApi("DELETE", `/api/v1/webhooks/${id}`)).status).toBe(204);
    expect(await read(askApi("DELETE", `/api/v1/webhooks/${id}`), 404)).toMatchObject({ error: "webhook_not_found" });
    expect((await eventsOf(id, 2)).at(-1)).toEqual({ type: "webhook.deleted", data: { webhook_id: id, host: "hooks.example.com" } });
  });

  it("are at most 20 of an account, however many are asked for at once", async () => {
    const answers = await Promise.all(Array.from({ length: 23 }, () => askApi("POST", "/api/v1/webhooks", { url: URL_ })));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([...Array(20).fill(201), ...Array(3).fill(409)]);
    const { webhooks } = await read<{ webhooks: Created[] }>(askApi("GET", "/api/v1/webhooks"));
    expect(webhooks).toHaveLength(20);
    await askApi("DELETE", `/api/v1/webhooks/${webhooks[0]?.id}`);
    await create();
  });

  it("of others are not there", async () => {
    const { id } = await create();
    const { id: deliveryId } = await read<DeliveryResource>(askApi("POST", `/api/v1/webhooks/${id}/test`));
    await env.DB.prepare("INSERT OR IGNORE INTO accounts (id, name, created_at) VALUES ('other', 'Other', 0)").run();
    await env.DB.prepare("UPDATE webhooks SET account_id = 'other'").run();
    const mine = await create();
    const made = (webhook: string, delivery: string): [string, string, object?][] => [
      ["GET", webhook],
      ["PATCH", webhook, { enabled: false }],
      ["POST", `${webhook}/rotate-secret`, {}],
      ["POST", `${webhook}/test`],
      ["GET", `${webhook}/deliveries`],
      ["GET", `${webhook}/deliveries/${delivery}`],
      ["POST", `${webhook}/deliveries/${delivery}/redeliver`],
      ["DELETE", webhook],
    ];
    const asked = async (calls: [string, string, object?][]) => {
      const answers = [];
      for (const [method, path, body] of calls) {
        const { error, message } = await read<{ error: string; message: string }>(askApi(method, `/api/v1/webhooks/${path}`, body), 404);
        answers.push([error, message]);
      }
      return answers;
    };
    const strangers = await asked(made(id, deliveryId));
    expect(strangers).toEqual(await asked(made(crypto.randomUUID(), crypto.randomUUID())));
    expect(new Set(strangers.map(([error]) => error))).toEqual(new Set(["webhook_not_found"]));
    // A delivery of another webhook than the one that is named.
    expect(await read(askApi("GET", `/api/v1/webhooks/${mine.id}/deliveries/${deliveryId}`), 404)).toMatchObject({
      error: "delivery_not_found",
    });
    expect(await read(askApi("POST", `/api/v1/webhooks/${mine.id}/deliveries/${deliveryId}/redeliver`), 404)).toMatchObject({
      error: "delivery_not_found",
    });
    expect(await read(askApi("GET", "/api/v1/webhooks"))).toMatchObject({ webhooks: [{ id: mine.id }] });
    const kept = await env.DB.prepare("SELECT enabled, revision FROM webhooks WHERE id = ?").bind(id).first();
    expect(kept).toEqual({ enabled: 1, revision: 1 });
  });
});

describe("secrets", () => {
  /** Sends a test; answers by which of several secrets it was signed. */
  const signersOf = async (id: string, ...secrets: string[]) => {
    await read(askApi("POST", `/api/v1/webhooks/${id}/test`));
    const { headers, body } = internet.receivedWith("Nova-Event-Type", "webhook.test").at(-1) as Received;
    const [t, ...signatures] = (headers.get("Nova-Signature") ?? "").split(",");
    const expected = await Promise.all(secrets.map((secret) => hmacHex(secret, `${t?.slice(2)}.${body}`)));
    return secrets.filter((_, index) => signatures.includes(`v1=${expected[index]}`));
  };

  it("are rotated: the old one signs along for a while, or not", async () => {
    const { id, secret: first } = await create();
    expect(await signersOf(id, first)).toEqual([first]);
    const rotated = await read<Created & { previous_secret_expires_at: string }>(
      askApi("POST", `/api/v1/webhooks/${id}/rotate-secret`, {}),
    );
    const { secret: second, previous_secret_expires_at: until } = rotated;
    expect(Math.abs(Date.parse(until) - Date.now() - 86_400_000)).toBeLessThan(60_000);
    expect(second).not.toBe(first);
    expect(await signersOf(id, first, second)).toEqual([first, second]);
    const leaked = await read<Created>(askApi("POST", `/api/v1/webhooks/${id}/rotate-secret`, { overlap_seconds: 0 }));
    expect(leaked).toMatchObject({ previous_secret_expires_at: null });
    expect(await signersOf(id, first, second, leaked.secret)).toEqual([leaked.secret]);
    expect((await askApi("POST", `/api/v1/webhooks/${id}/rotate-secret`, { overlap_seconds: 604_801 })).status).toBe(400);
    expect((await eventsOf(id, 3)).map(({ data }) => data.changes)).toEqual([undefined, { secret: "rotated" }, { secret: "rotated" }]);
  });

  it("are nowhere in the database, in no other answer, in no log and in no event", async () => {
    const { id, secret } = await create();
    const { secret: next } = await read<Created>(askApi("POST", `/api/v1/webhooks/${id}/rotate-secret`, {}));
    internet.servers["hooks.example.com"] = () => new Response(null, { status: 500 });
    const { id: deliveryId } = await read<DeliveryResource>(askApi("POST", `/api/v1/webhooks/${id}/test`));
    const shown: unknown[] = [];
    for (const path of ["", `/${id}`, `/${id}/deliveries`, `/${id}/deliveries/${deliveryId}`])
      shown.push(await read(askApi("GET", `/api/v1/webhooks${path}`)));
    shown.push(await read(askApi("PATCH", `/api/v1/webhooks/${id}`, { description: "x" })));
    for (const table of ["webhooks", "webhook_deliveries", "outbox", "events"])
      shown.push((await env.DB.prepare(`SELECT * FROM ${table}`).all()).results);
    const everything = JSON.stringify([shown, logs]);
    for (const text of [secret, next, secret.slice(6), next.slice(6)]) expect(everything).not.toContain(text);
  });

  it("that cannot be read any more are replaced by rotating", async () => {
    const { id } = await create();
    await env.DB.prepare("UPDATE webhooks SET secret = 'v1.AAAA'").run();
    expect(await read(askApi("POST", `/api/v1/webhooks/${id}/test`))).toMatchObject({ status: "dead", last_error: "secret_unreadable" });
    const { secret } = await read<Created>(askApi("POST", `/api/v1/webhooks/${id}/rotate-secret`, {}));
    expect(await signersOf(id, secret)).toEqual([secret]);
  });
});

describe("tests", () => {
  it("are sent at once, and answered with what came of it", async () => {
    const { id } = await create({ event_types: ["broadcast.ended"] });
    const delivery = await read<DeliveryResource & { took_ms: number }>(askApi("POST", `/api/v1/webhooks/${id}/test`));
    const facts = {
      webhook_id: id,
      event_type: "webhook.test",
      status: "delivered",
      attempts: 1,
      next_attempt_at: null,
      last_status: 200,
      last_error: null,
    };
    expect(delivery).toMatchObject({ ...facts, took_ms: expect.any(Number) });
    expect(internet.received).toHaveLength(1);
    const sent = JSON.parse(internet.received[0]?.body ?? "") as object;
    expect(sent).toMatchObject({
      id: delivery.event_id,
      type: "webhook.test",
      account_id: "admin",
      actor: "admin",
      data: { webhook_id: id },
    });
    expect(await read(askApi("GET", `/api/v1/webhooks/${id}/deliveries/${delivery.id}`))).toMatchObject({
      ...facts,
      body: internet.received[0]?.body,
    });
  });

  it("are sent once, to a disabled webhook too", async () => {
    const { id } = await create({ enabled: false });
    internet.servers["hooks.example.com"] = () => new Response(null, { status: 302, headers: { Location: "/" } });
    expect(await read(askApi("POST", `/api/v1/webhooks/${id}/test`))).toMatchObject({
      status: "dead",
      attempts: 1,
      last_status: 302,
      last_error: "redirect",
    });
    internet.names["hooks.example.com"] = ["10.0.0.1"];
    expect(await read(askApi("POST", `/api/v1/webhooks/${id}/test`))).toMatchObject({
      status: "dead",
      last_status: null,
      last_error: "address_not_public",
    });
    expect(internet.received).toHaveLength(1);
  });
});

describe("deliveries", () => {
  async function makeDeliveries(webhookId: string, count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let index = 0; index < count; index++) {
      const delivery = { webhookId, accountId: "admin", eventId: crypto.randomUUID(), eventType: "stream.created", body: "{}" } as const;
      // Two of each time: the id decides then.
      ids.push((await new Deliveries(env.DB).create(delivery, Date.now() + Math.floor(index / 2) * 1_000 + 3_600_000)).id);
    }
    return ids;
  }

  it("are listed by what became of them, the newest first, page by page", async () => {
    const { id } = await create();
    const ids = await makeDeliveries(id, 7);
    await env.DB.prepare("UPDATE webhook_deliveries SET status = 'dead', next_attempt_at = NULL WHERE id IN (?, ?)")
      .bind(ids[1], ids[4])
      .run();
    const seen: DeliveryResource[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: { deliveries: DeliveryResource[]; next_cursor: string | null } = await read(
        askApi("GET", `/api/v1/webhooks/${id}/deliveries?limit=2${cursor && `&cursor=${cursor}`}`),
      );
      expect(page.deliveries.length).toBeLessThanOrEqual(2);
      seen.push(...page.deliveries);
      cursor = page.next_cursor;
    }
    expect(seen.map((delivery) => delivery.id).toSorted()).toEqual(ids.toSorted());
    const times = seen.map(({ created_at }) => created_at);
    expect(times).toEqual(times.toSorted().reverse());
    expect(JSON.stringify(seen)).not.toContain("body");
    const dead = await read<{ deliveries: DeliveryResource[] }>(askApi("GET", `/api/v1/webhooks/${id}/deliveries?status=dead`));
    expect(dead.deliveries.map((delivery) => delivery.id)).toEqual([ids[4], ids[1]]);
    expect(await read(askApi("GET", `/api/v1/webhooks/${id}/deliveries?status=delivered`))).toEqual({ deliveries: [], next_cursor: null });
    for (const query of ["cursor=nope", "limit=0", "status=lost", "x=1"]) {
      expect((await askApi("GET", `/api/v1/webhooks/${id}/deliveries?${query}`)).status).toBe(400);
    }
  });

  it("that were given up are sent again when they are asked for", async () => {
    const { id } = await create();
    const [deliveryId] = await makeDeliveries(id, 1);
    await env.DB.prepare(
      "UPDATE webhook_deliveries SET status = 'dead', attempts = 11, next_attempt_at = NULL, last_error = 'timeout'",
    ).run();
    const path = `/api/v1/webhooks/${id}/deliveries/${deliveryId}`;
    expect(await read(askApi("POST", `${path}/redeliver`), 202)).toMatchObject({
      status: "pending",
      attempts: 0,
      next_attempt_at: expect.any(String),
    });
    await vi.waitFor(
      async () => expect(await read(askApi("GET", path))).toMatchObject({ status: "delivered", attempts: 1, last_error: null }),
      { timeout: 10_000, interval: 100 },
    );
    expect(internet.receivedWith("Nova-Delivery-Id", deliveryId ?? "")).toHaveLength(1);
  });

  it("are not sent again while the webhook is disabled", async () => {
    const { id } = await create({ enabled: false });
    const [deliveryId] = await makeDeliveries(id, 1);
    const answer = askApi("POST", `/api/v1/webhooks/${id}/deliveries/${deliveryId}/redeliver`);
    expect(await read(answer, 409)).toMatchObject({ error: "webhook_disabled" });
  });

  it.each([
    ["all", "webhook_id = ''", "webhook_deliveries_webhook"],
    ["some", "webhook_id = '' AND status = 'dead'", "webhook_deliveries_status"],
  ])("pages of %s need no sorting", async (_what, condition, index) => {
    const plan = await env.DB.prepare(
      `EXPLAIN QUERY PLAN SELECT * FROM webhook_deliveries WHERE ${condition} AND (created_at, id) < (1, '') ORDER BY created_at DESC, id DESC LIMIT 51`,
    ).all<{ detail: string }>();
    const details = plan.results.map(({ detail }) => detail).join();
    expect(details).toContain(index);
    expect(details).not.toContain("TEMP B-TREE");
  });
});
