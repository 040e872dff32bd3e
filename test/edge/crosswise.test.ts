import { env } from "cloudflare:workers";
import type { z } from "@hono/zod-openapi";
import { beforeAll, describe, expect, it } from "vitest";
import type { Scope } from "../../domain/protocol/api/access.ts";
import { operations } from "../../workers/api/app.ts";
import { randomBytes, streamIdsOf } from "../../workers/store/tokens.ts";
import { answerOf, askWith, BROADCASTER, createAccount, type TestAccount } from "./account.ts";
import { ask, askApi } from "./edge.ts";

interface Operation {
  method: string;
  path: string;
  scope: Scope | undefined;
  isProtected: boolean;
  body: unknown;
  query: string[];
}

/** Every operation of the API, as its document has it: one that is added is tested. */
const OPERATIONS: Operation[] = operations.openAPIRegistry.definitions.flatMap((definition) => {
  if (definition.type !== "route") return [];
  const { route } = definition;
  const content = (route.request?.body?.content["application/json"] as { schema: z.ZodType } | undefined)?.schema;
  const query = (route.request?.query as z.ZodObject | undefined)?.shape ?? {};
  return [
    {
      method: route.method.toUpperCase(),
      path: `/api/v1${route.path}`,
      scope: (route as { "x-required-scope"?: Scope })["x-required-scope"],
      isProtected: (route.security?.length ?? 0) > 0,
      body: content === undefined ? undefined : (content.meta()?.example ?? {}),
      query: Object.keys(query),
    },
  ];
});
const NAMED = OPERATIONS.map((operation) => [`${operation.method} ${operation.path}`, operation] as const);
const WITH_ID = NAMED.filter(([, { path }]) => path.includes("{"));
const LISTS = NAMED.filter(([, { method, path }]) => method === "GET" && !path.includes("{"));

/** What an account has of everything that addresses name. */
interface Things {
  account: TestAccount;
  ids: Record<string, string>;
}

async function makeThings(name: string): Promise<Things> {
  const account = await createAccount(name);
  const stream = await answerOf<{ id: string }>(account.ask("POST", "/api/v1/streams", { title: `${name}'s stream` }), 201);
  const key = await answerOf<{ id: string }>(account.ask("POST", `/api/v1/streams/${stream.id}/keys`, { label: `${name}'s encoder` }), 201);
  const [webhook, delivery, now] = [crypto.randomUUID(), crypto.randomUUID(), Date.now()];
  await env.DB.batch([
    env.DB.prepare(
      "INSERT INTO webhooks (id, account_id, url, event_types, secret, created_at, updated_at, enabled) VALUES (?, ?, ?, '[]', 'v1.x', ?, ?, 0)",
    ).bind(webhook, account.id, `https://${account.id.replace("_", "-")}.test/`, now, now),
    env.DB.prepare(
      "INSERT INTO webhook_deliveries (id, webhook_id, account_id, event_id, event_type, body, status, created_at) VALUES (?, ?, ?, 'e', 'stream.created', '{}', 'dead', ?)",
    ).bind(delivery, webhook, account.id, now),
  ]);
  return { account, ids: { account: account.id, stream: stream.id, streamKey: key.id, apiKey: account.keyId, webhook, delivery } };
}

/** The id that stands in an address for a parameter. Say here what a new one names, and make one above. */
function kindOf(path: string, parameter: string): string {
  const below = path.split("/")[3];
  const kinds: Record<string, string | undefined> = {
    id: below === "streams" ? "stream" : undefined,
    key_id: below === "streams" ? "streamKey" : below === "api-keys" ? "apiKey" : undefined,
    account_id: "account",
    webhook_id: "webhook",
    delivery_id: "delivery",
  };
  const kind = kinds[parameter];
  if (kind === undefined) throw new Error(`the crosswise test does not know ${parameter} in ${path}`);
  return kind;
}

/** An address with ids in it, each chosen by its kind and its place. */
function fill(path: string, choose: (kind: string, place: number) => string): string {
  let place = 0;
  return path.replace(/\{(\w+)\}/g, (_, parameter: string) => choose(kindOf(path, parameter), place++));
}

let anna: Things;
let bert: Things;
let madeUp: Record<string, string>;

beforeAll(async () => {
  [anna, bert] = [await makeThings("Anna"), await makeThings("Bert")];
  const uuid = () => crypto.randomUUID();
  const stream = await streamIdsOf(env).mint(randomBytes);
  madeUp = { account: "acc_0000000000000000", stream, streamKey: uuid(), apiKey: uuid(), webhook: uuid(), delivery: uuid() };
});

/** An answer without what is another one each time. */
async function shown(answer: Response): Promise<unknown> {
  const text = await answer.text();
  const { request_id: _, ...body } = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
  return { status: answer.status, body };
}

/** All that is stored of an account, but for what its own requests leave behind. */
async function stored(accountId: string, streamId: string): Promise<unknown> {
  const of = async (sql: string, id: string) => (await env.DB.prepare(sql).bind(id).all()).results;
  return [
    await of("SELECT id, title, revision, deleted_at FROM streams WHERE account_id = ?", accountId),
    await of("SELECT id, label, expires_at, revoked_at FROM stream_keys WHERE stream_id = ?", streamId),
    await of("SELECT id, name, expires_at, revoked_at FROM api_keys WHERE account_id = ?", accountId),
    await of("SELECT id, url, enabled, revision, secret FROM webhooks WHERE account_id = ?", accountId),
    await of("SELECT id, status, attempts FROM webhook_deliveries WHERE account_id = ?", accountId),
  ];
}

it("there are operations to be tested, and each is protected", () => {
  expect(WITH_ID.length).toBeGreaterThan(10);
  expect(NAMED.filter(([, { isProtected }]) => !isProtected).map(([name]) => name)).toEqual([]);
});

describe("another account's things", () => {
  it.each(WITH_ID)("%s: are as if they were not there", async (_name, { method, path, body, scope }) => {
    const before = await stored(anna.account.id, anna.ids.stream as string);
    const asBert = async (choose: (kind: string, place: number) => string) =>
      shown(await bert.account.ask(method, fill(path, choose), body));
    const foreign = await asBert((kind) => anna.ids[kind] as string);
    expect(foreign).toMatchObject({ status: scope === "admin" ? 403 : 404 });
    expect(foreign).toEqual(await asBert((kind) => madeUp[kind] as string));
    // Neither are Anna's below Bert's own.
    if (path.split("{").length > 2) {
      const mixed = await asBert((kind, place) => (place === 0 ? bert.ids[kind] : anna.ids[kind]) as string);
      expect(mixed).toMatchObject({ status: 404 });
      expect(mixed).toEqual(await asBert((kind, place) => (place === 0 ? bert.ids[kind] : madeUp[kind]) as string));
    }
    expect(await stored(anna.account.id, anna.ids.stream as string)).toEqual(before);
  });

  it.each(LISTS)("%s: are not in lists", async (_name, { path, query, scope }) => {
    const queries = [
      "",
      ...(query.includes("stream_id") ? [`?stream_id=${anna.ids.stream}`] : []),
      ...(query.includes("q") ? ["?q=Anna"] : []),
    ];
    for (const asked of queries) {
      const answer = await bert.account.ask("GET", path + asked);
      expect(answer.status).toBe(scope === "admin" ? 403 : 200);
      const text = await answer.text();
      for (const id of Object.values(anna.ids)) expect(text).not.toContain(id);
      expect(text).not.toContain("Anna");
    }
  });

  it("are in their own lists", async () => {
    for (const [path, id] of [
      ["/api/v1/streams", anna.ids.stream],
      ["/api/v1/api-keys", anna.ids.apiKey],
      ["/api/v1/webhooks", anna.ids.webhook],
    ]) {
      expect(await (await anna.account.ask("GET", path as string)).text()).toContain(id);
    }
  });

  it("are not the administrator's own either, but for accounts", async () => {
    for (const [, { method, path, body }] of WITH_ID.filter(([, { scope }]) => scope !== "admin")) {
      const answer = await askApi(
        method,
        fill(path, (kind) => anna.ids[kind] as string),
        body,
      );
      expect([method, path, answer.status]).toEqual([method, path, 404]);
    }
  });
});

describe("a key", () => {
  let addresses = 0;
  const own = (path: string) => fill(path, (kind) => bert.ids[kind] as string);

  it.each(NAMED.filter(([, { scope }]) => scope !== undefined && scope !== "admin"))(
    "without the scope is refused: %s",
    async (_name, operation) => {
      const { method, path, body, scope } = operation;
      const scopes = BROADCASTER.filter((other) => other !== scope);
      const { key } = await answerOf<{ key: string }>(bert.account.ask("POST", "/api/v1/api-keys", { name: "narrow", scopes }), 201);
      const answer = await askWith(key)(method, own(path), body);
      expect(answer.status).toBe(403);
      expect(await answer.json()).toMatchObject({ error: "forbidden", message: expect.stringContaining(scope ?? "") });
    },
  );

  it.each(NAMED)("that is missing, revoked or expired is refused: %s", async (_name, { method, path, body }) => {
    const make = () =>
      answerOf<{ key: string; id: string }>(bert.account.ask("POST", "/api/v1/api-keys", { name: "gone", scopes: BROADCASTER }), 201);
    const [revoked, expired] = [await make(), await make()];
    await bert.account.ask("DELETE", `/api/v1/api-keys/${revoked.id}`);
    await env.DB.prepare("UPDATE api_keys SET expires_at = 1 WHERE id = ?").bind(expired.id).run();
    // Each from an address of its own, so that none has its share of such requests.
    const from = () => ({ "CF-Connecting-IP": `198.51.100.${addresses++ % 255}` });
    for (const { key } of [revoked, expired]) expect((await askWith(key)(method, own(path), body, from())).status).toBe(401);
    expect((await ask(own(path), { method, headers: from() })).status).toBe(401);
  });
});
