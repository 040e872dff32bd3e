import { createExecutionContext, createMessageBatch, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { describe, expect, it, vi } from "vitest";
import { GENESIS, parseArchive } from "../../domain/audit/archive.ts";
import { archiveEvents } from "../../workers/audit/archiver.ts";
import { consumeEvents } from "../../workers/audit/consumer.ts";
import { streamEvent } from "../../workers/audit/new-event.ts";
import { outboxStatements } from "../../workers/audit/outbox.ts";
import { relayOutbox } from "../../workers/audit/relay.ts";
import { sha256Hex } from "../../workers/store/digest.ts";
import { DyingProcess, type EventsEnv, HeldQueue } from "./dying-env.ts";

const LATER = 11 * 60_000;

/** An account with two webhooks that want its events and one that does not, and three events of one stream and one of another in the outbox. */
async function fillOutbox(account: string): Promise<void> {
  const db = drizzle(env.DB);
  const now = Date.now();
  await env.DB.prepare("INSERT INTO accounts (id, name, created_at) VALUES (?, 'Test', 0)").bind(account).run();
  for (const [name, types] of [
    ["all", "[]"],
    ["updates", '["stream.updated"]'],
    ["others", '["stream.deleted"]'],
  ] as const) {
    await env.DB.prepare(
      "INSERT INTO webhooks (id, account_id, url, event_types, secret, created_at, updated_at) VALUES (?, ?, 'https://example.com', ?, '', 0, 0)",
    )
      .bind(`${account}-${name}`, account, types)
      .run();
  }
  const by = { accountId: account, actor: "admin", requestId: null };
  for (const stream of ["one", "two", "one", "one"]) {
    const event = streamEvent(by, `${account}-${stream}`, "stream.updated", { changes: { title: stream } }, now);
    // Something that changes a row comes first.
    await db.batch([db.run("UPDATE accounts SET name = name WHERE id = 'admin'"), ...outboxStatements(db, event)]);
  }
}

/** One life of everything behind the outbox: relay, consumer, archive. What the queue brings in vain, or to a process that died, it brings again. */
async function live(process: DyingProcess): Promise<void> {
  await relayOutbox(process.env, Date.now());
  await consumeAll(process);
  await archiveEvents(process.env, Date.now() + LATER);
}

async function consumeAll(process: DyingProcess): Promise<void> {
  const bodies = process.events.sent.splice(0);
  const batch = batchOf(bodies);
  await consumeEvents(batch, process.env);
  const { explicitAcks } = await getQueueResult(batch, createExecutionContext());
  // Also of a process that died: what it had acknowledged before does not come again.
  const kept = bodies.filter((_, index) => !explicitAcks.includes(String(index)));
  process.events.sent.push(...kept);
  if (process.dead) throw new Error("dead");
}

function batchOf(bodies: unknown[]): MessageBatch {
  const messages = bodies.map((body, index) => ({ id: String(index), timestamp: new Date(), attempts: 1, body }));
  return createMessageBatch("nova-edge-events", messages);
}

async function archivedIds(): Promise<string[]> {
  const ids: string[] = [];
  let end = { hash: GENESIS, position: 0 };
  const { objects } = await env.MEDIA.list({ prefix: "audit/" });
  const { results: rows } = await env.DB.prepare("SELECT key, hash FROM archive_objects ORDER BY number").all<{
    key: string;
    hash: string;
  }>();
  expect(objects.map(({ key }) => key)).toEqual(rows.map(({ key }) => key));
  for (const { key, hash } of rows) {
    const content = await parseArchive((await (await env.MEDIA.get(key))?.text()) ?? "", end, sha256Hex);
    if ("problem" in content) throw new Error(`${key}: ${content.problem}`);
    expect(content.end.hash).toBe(hash);
    ids.push(...content.ids);
    end = content.end;
  }
  return ids;
}

async function expectWhole(account: string, deliveries: HeldQueue): Promise<void> {
  const { results } = await env.DB.prepare("SELECT id, aggregate, seq FROM events WHERE account_id = ? ORDER BY position")
    .bind(account)
    .all<{ id: string; aggregate: string; seq: number }>();
  const numbers = (stream: string) => results.filter(({ aggregate }) => aggregate.endsWith(stream)).map(({ seq }) => seq);
  expect([numbers("one"), numbers("two")]).toEqual([[1, 2, 3], [1]]);
  const rows = await env.DB.prepare("SELECT id, webhook_id, event_id FROM webhook_deliveries WHERE account_id = ?")
    .bind(account)
    .all<{ id: string; webhook_id: string; event_id: string }>();
  const wanted = results.flatMap(({ id }) => ["all", "updates"].map((name) => `${account}-${name} ${id}`));
  expect(rows.results.map((row) => `${row.webhook_id} ${row.event_id}`).sort()).toEqual(wanted.sort());
  const sent = new Set(deliveries.sent.map((body) => (body as { delivery_id: string }).delivery_id));
  expect(rows.results.filter(({ id }) => !sent.has(id))).toEqual([]);
  const archived = await archivedIds();
  expect(new Set(archived).size).toBe(archived.length);
  expect(results.filter(({ id }) => !archived.includes(id))).toEqual([]);
  expect(await env.DB.prepare("SELECT count(*) AS rest FROM outbox").first("rest")).toBe(0);
}

describe.each(["before", "after"] as const)("killed %s its n-th step", (mode) => {
  it("every event is recorded, delivered and archived once, in order, after another run", async () => {
    let steps = 0;
    for (let killAt = 1; ; killAt++) {
      const account = `${mode}-${killAt}`;
      await fillOutbox(account);
      const queues = { events: new HeldQueue(), deliveries: new HeldQueue() };
      const first = new DyingProcess(killAt, mode, queues);
      await live(first).catch(() => undefined);
      // Others go on meanwhile, so that what is done again is not the same.
      await fillOutbox(`${account}-more`);
      await live(new DyingProcess(Number.POSITIVE_INFINITY, mode, queues));
      for (const own of [account, `${account}-more`]) await expectWhole(own, queues.deliveries);
      if (!first.dead) break;
      steps = killAt;
    }
    // Relay: read, send, delete, read. Consumer: read, write, send. Archive: two reads, object, row, two reads.
    expect(steps).toBeGreaterThanOrEqual(11);
  });
});

it("of two consumers that have both read how far the record is, one writes, and the other tries again", async () => {
  await fillOutbox("race");
  const queues = { events: new HeldQueue(), deliveries: new HeldQueue() };
  await relayOutbox(new DyingProcess(Number.POSITIVE_INFINITY, "before", queues).env, Date.now());
  const { promise: bothHaveRead, resolve } = Promise.withResolvers<void>();
  let readers = 0;
  const racing = () => {
    const { env: bindings } = new DyingProcess(Number.POSITIVE_INFINITY, "before", queues);
    let calls = 0;
    const batch: D1Database["batch"] = async (statements) => {
      if (++calls === 2) {
        if (++readers === 2) resolve();
        await bothHaveRead;
      }
      return bindings.DB.batch(statements);
    };
    return { ...bindings, DB: { prepare: (text: string) => bindings.DB.prepare(text), batch } as unknown as D1Database };
  };
  const error = vi.spyOn(console, "error");
  const outcomes = await Promise.all(
    [0, 1].map(async () => {
      const batch = batchOf(queues.events.sent);
      await consumeEvents(batch, racing());
      return (await getQueueResult(batch, createExecutionContext())).explicitAcks.length;
    }),
  );
  expect(outcomes.sort()).toEqual([0, 4]);
  expect(error).not.toHaveBeenCalled();
  await archiveEvents(env, Date.now() + LATER);
  await expectWhole("race", queues.deliveries);
});

it("two relays, two consumers and two archivers at once do nothing twice", async () => {
  await fillOutbox("twice");
  const queues = { events: new HeldQueue(), deliveries: new HeldQueue() };
  const bindings: EventsEnv = new DyingProcess(Number.POSITIVE_INFINITY, "before", queues).env;
  await Promise.all([relayOutbox(bindings, Date.now()), relayOutbox(bindings, Date.now())]);
  const bodies = queues.events.sent;
  for (let round = 0; round < 3; round++) {
    const half = Math.ceil(bodies.length / 2);
    await Promise.all([bodies.slice(0, half), bodies.slice(half), bodies].map((some) => consumeEvents(batchOf(some), bindings)));
  }
  const now = Date.now() + LATER;
  await Promise.all([archiveEvents(bindings, now), archiveEvents(bindings, now), archiveEvents(bindings, now)]);
  await expectWhole("twice", queues.deliveries);
});
