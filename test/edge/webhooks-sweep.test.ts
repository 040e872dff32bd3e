import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Deliveries } from "../../workers/store/deliveries.ts";
import { sweepDeliveries } from "../../workers/webhooks/deliver.ts";
import { explain, hearQueries } from "./heard-queries.ts";

const HOUR = 3_600_000;

/** What the sweep has put into the queue. */
let queued: string[];
let own: Env;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  queued = [];
  const sendBatch = async (messages: Iterable<MessageSendRequest<{ delivery_id: string }>>) => {
    for (const { body } of messages) queued.push(body.delivery_id);
  };
  own = { ...env, DELIVERIES: { sendBatch } as unknown as Queue };
});

afterEach(async () => {
  vi.useRealTimers();
  await env.DB.prepare("DELETE FROM webhook_deliveries").run();
});

describe("the sweep", () => {
  it("has room for each webhook, however much waits for another", async () => {
    const now = Date.now();
    const insert = env.DB.prepare(
      `INSERT INTO webhook_deliveries (id, webhook_id, account_id, event_id, event_type, body, next_attempt_at, created_at)
       SELECT ?1 || '-' || value, ?1, 'admin', value, 'stream.created', '', ?3, ?3 FROM json_each(?2)`,
    );
    const many = JSON.stringify(Array.from({ length: 400 }, (_, index) => index));
    await env.DB.batch([
      ...["loud-1", "loud-2"].map((webhook) => insert.bind(webhook, many, now - 100_000)),
      insert.bind("quiet", "[1,2]", now - 20_000),
      insert.bind("later", "[1]", now),
    ]);
    await sweepDeliveries(own, now);
    const counts = Object.groupBy(queued, (id) => id.replace(/-\d+$/, ""));
    expect(Object.fromEntries(Object.entries(counts).map(([webhook, of]) => [webhook, of?.length]))).toEqual({
      ...{ "loud-1": 20, "loud-2": 20, quiet: 2 },
    });
  });

  it("finds what is due by an index, each webhook's as well", async () => {
    const queries = await hearQueries(() => new Deliveries(env.DB).listDue(Date.now(), -1));
    const plans = (await Promise.all(queries.map(explain))).map(({ steps }) => steps.filter((step) => step.includes("webhook_deliveries")));
    expect(plans[0]).toEqual([expect.stringMatching(/^SEARCH .* INDEX webhook_deliveries_due \(status=\? AND next_attempt_at<\?\)$/)]);
    expect(plans[1]?.filter((step) => !step.startsWith("SEARCH "))).toEqual([]);
    expect(plans[1]?.join()).toMatch(/INDEX webhook_deliveries_status \(webhook_id=\? AND status=\?\)/);
  });

  it("gives up what has waited for three days, and no sooner", async () => {
    const delivery = { webhookId: "any", accountId: "admin", eventId: "any", eventType: "stream.created", body: "{}" } as const;
    const { id } = await new Deliveries(env.DB).create(delivery, Date.now());
    const read = () => new Deliveries(env.DB).find("any", id);
    vi.setSystemTime(Date.now() + 72 * HOUR - 1);
    await sweepDeliveries(own, Date.now());
    expect(await read()).toMatchObject({ status: "pending" });
    vi.setSystemTime(Date.now() + 2);
    await sweepDeliveries(own, Date.now());
    expect(await read()).toMatchObject({ status: "dead", nextAttemptAt: null, lastError: "interrupted" });
  });
});
