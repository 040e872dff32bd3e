import { env } from "cloudflare:workers";
import type { z } from "@hono/zod-openapi";
import { describe, expect, it } from "vitest";
import { operations } from "../../workers/api/app.ts";
import { sha256Hex } from "../../workers/store/digest.ts";
import { answerOf, askWith, askWorker, createAccount, type TestAccount } from "./account.ts";

const KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324";

const post = (account: TestAccount, body: unknown, key = KEY, path = "/api/v1/streams") =>
  account.ask("POST", path, body, { "Idempotency-Key": key });

async function countStreams(account: TestAccount): Promise<number> {
  return (await answerOf<{ streams: unknown[] }>(account.ask("GET", "/api/v1/streams"), 200)).streams.length;
}

/** The row of an account's key, as it is stored. */
async function rowOf(account: TestAccount, key = KEY) {
  const digest = await sha256Hex(JSON.stringify([`key:${account.keyId}`, key]));
  return env.DB.prepare("SELECT * FROM idempotency_keys WHERE account_id = ? AND digest = ?")
    .bind(account.id, digest)
    .first<{ status: number | null; answer: string | null; created_at: number }>();
}

/** Makes the row older than it is. */
async function age(account: TestAccount, byMs: number): Promise<void> {
  await env.DB.prepare("UPDATE idempotency_keys SET created_at = created_at - ? WHERE account_id = ?").bind(byMs, account.id).run();
}

/** Leaves the row as it is while its request runs. */
async function leaveRunning(account: TestAccount): Promise<void> {
  await env.DB.prepare("UPDATE idempotency_keys SET status = NULL, answer = NULL WHERE account_id = ?").bind(account.id).run();
}

describe("a POST with an Idempotency-Key", () => {
  it("is carried out once, and answered the same again: body, Location and ETag", async () => {
    const account = await createAccount();
    const first = await post(account, { title: "Once" });
    expect(first.status).toBe(201);
    expect(first.headers.has("Idempotency-Replayed")).toBe(false);
    const body = await first.text();
    for (let i = 0; i < 2; i++) {
      const again = await post(account, { title: "Once" });
      expect(again.status).toBe(201);
      expect(await again.text()).toBe(body);
      expect(again.headers.get("Idempotency-Replayed")).toBe("true");
      for (const name of ["Location", "ETag", "Content-Type"]) expect(again.headers.get(name)).toBe(first.headers.get(name));
      expect(again.headers.get("X-Request-Id")).not.toBe(first.headers.get("X-Request-Id"));
    }
    expect(await countStreams(account)).toBe(1);
    expect((await post(account, { title: "Once" }, "another")).status).toBe(201);
    expect(await countStreams(account)).toBe(2);
  });

  it("keeps the answer encrypted: the key that it shows is nowhere in D1", async () => {
    const account = await createAccount();
    const { stream_key } = await answerOf<{ stream_key: string }>(post(account, { title: "Secret" }), 201);
    const row = await rowOf(account);
    expect(row).toMatchObject({ status: 201, answer: expect.stringMatching(/^v1\./) });
    const { results } = await env.DB.prepare("SELECT * FROM idempotency_keys").all();
    expect(JSON.stringify(results)).not.toContain(stream_key);
    expect(JSON.stringify(results)).not.toContain(KEY);
    expect(await (await post(account, { title: "Secret" })).json()).toMatchObject({ stream_key });
  });

  it("is refused for another body, address, or query", async () => {
    const account = await createAccount();
    await post(account, { title: "One" });
    for (const answer of [
      await post(account, { title: "Two" }),
      await post(account, { name: "x", scopes: ["streams:read"] }, KEY, "/api/v1/api-keys"),
      await post(account, { title: "One" }, KEY, "/api/v1/streams?x=1"),
    ]) {
      expect(answer.status).toBe(422);
      expect(await answer.json()).toMatchObject({ error: "idempotency_mismatch" });
    }
    expect(await countStreams(account)).toBe(1);
  });

  it("sent many times at once is carried out once", async () => {
    const account = await createAccount();
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(account, { title: "Race" })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(
      new Set(answers.some(({ status }) => status === 409) ? [201, 409] : [201]),
    );
    expect(answers.filter(({ status, headers }) => status === 201 && !headers.has("Idempotency-Replayed"))).toHaveLength(1);
    for (const answer of answers.filter(({ status }) => status === 409)) {
      expect(answer.headers.get("Retry-After")).toBe("1");
      expect(await answer.json()).toMatchObject({ error: "idempotency_in_progress" });
    }
    expect(await countStreams(account)).toBe(1);
  });

  it("waits for one that runs, and takes over from one that died", async () => {
    const account = await createAccount();
    await post(account, { title: "Died" });
    await leaveRunning(account);
    expect((await post(account, { title: "Died" })).status).toBe(409);
    expect((await post(account, { title: "Other" })).status).toBe(422);
    await age(account, 61_000);
    expect((await post(account, { title: "Other" })).status).toBe(422);
    const taken = await post(account, { title: "Died" });
    expect([taken.status, taken.headers.has("Idempotency-Replayed")]).toEqual([201, false]);
    expect((await post(account, { title: "Died" })).headers.get("Idempotency-Replayed")).toBe("true");
  });

  it("is forgotten after 24 hours", async () => {
    const account = await createAccount();
    await post(account, { title: "Old" });
    await age(account, 86_400_000 - 5_000);
    expect((await post(account, { title: "Old" })).headers.get("Idempotency-Replayed")).toBe("true");
    await age(account, 10_000);
    const answer = await post(account, { title: "New" });
    expect([answer.status, answer.headers.has("Idempotency-Replayed")]).toEqual([201, false]);
  });

  it("keeps a refusal of the request itself, not one that may pass", async () => {
    const account = await createAccount();
    expect((await post(account, { title: "" })).status).toBe(400);
    expect((await post(account, { title: "" })).headers.get("Idempotency-Replayed")).toBe("true");
    const limited = { KEY_LIMIT: { limit: async () => ({ success: false }) } };
    const headers = { Authorization: `Bearer ${account.key}`, "Idempotency-Key": "limited" };
    const init = { method: "POST", headers, body: JSON.stringify({ title: "Limited" }) };
    expect((await askWorker(limited, "/api/v1/streams", init)).status).toBe(429);
    expect(await rowOf(account, "limited")).toBeNull();
    const narrow = await createAccount("Narrow", ["streams:read"]);
    expect((await post(narrow, { title: "x" })).status).toBe(403);
    expect(await rowOf(narrow)).toBeNull();
    // What was refused for how things stand may be tried again when they stand otherwise.
    const { id } = await answerOf<{ id: string }>(account.ask("POST", "/api/v1/streams", { title: "x" }), 201);
    expect((await post(account, { payload: 1 }, "not live", `/api/v1/streams/${id}/metadata`)).status).toBe(409);
    expect(await rowOf(account, "not live")).toBeNull();
  });

  it("is told of by every POST in the API's document", () => {
    const posts = operations.openAPIRegistry.definitions.flatMap((definition) =>
      definition.type === "route" && definition.route.method === "post" ? [definition.route] : [],
    );
    expect(posts.length).toBeGreaterThan(5);
    const without = posts.filter(({ request, responses }) => {
      const headers = request?.headers as z.ZodObject | undefined;
      return headers?.shape["Idempotency-Key"] === undefined || !("409" in responses && "422" in responses);
    });
    expect(without.map(({ path }) => path)).toEqual([]);
  });

  it("that broke on our side can be tried again", async () => {
    const account = await createAccount();
    const DB = {
      prepare: (sql: string) => env.DB.prepare(sql),
      batch: () => Promise.reject(new Error("D1_ERROR: Network connection lost.")),
    } as unknown as Env["DB"];
    const headers = { Authorization: `Bearer ${account.key}`, "Idempotency-Key": KEY };
    const init = { method: "POST", headers, body: JSON.stringify({ title: "Broken" }) };
    expect((await askWorker({ DB }, "/api/v1/streams", init)).status).toBeGreaterThanOrEqual(500);
    expect(await rowOf(account)).toBeNull();
    expect((await post(account, { title: "Broken" })).status).toBe(201);
  });

  it("is another's own affair: of another account, or of another key of the same", async () => {
    const [one, two] = [await createAccount(), await createAccount()];
    const { id } = await answerOf<{ id: string }>(post(one, { title: "Same" }), 201);
    expect((await answerOf<{ id: string }>(post(two, { title: "Same" }), 201)).id).not.toBe(id);
    const { key } = await answerOf<{ key: string }>(one.ask("POST", "/api/v1/api-keys", { name: "x", scopes: ["streams:write"] }), 201);
    const other = await askWith(key)("POST", "/api/v1/streams", { title: "Same" }, { "Idempotency-Key": KEY });
    expect(other.headers.has("Idempotency-Replayed")).toBe(false);
  });

  it.each(["", "x".repeat(256), "caf\u00e9", "a\tb"])("is refused with the key %j", async (key) => {
    const account = await createAccount();
    const answer = await post(account, { title: "x" }, key);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: "invalid_request", details: [{ field: "Idempotency-Key" }] });
    expect(await countStreams(account)).toBe(0);
  });

  it("is 503 without D1, and nothing is done", async () => {
    const account = await createAccount();
    await env.DB.prepare("ALTER TABLE idempotency_keys RENAME TO idempotency_keys_away").run();
    try {
      expect((await post(account, { title: "x" })).status).toBe(503);
      expect((await account.ask("POST", "/api/v1/streams", { title: "without a key" })).status).toBe(201);
    } finally {
      await env.DB.prepare("ALTER TABLE idempotency_keys_away RENAME TO idempotency_keys").run();
    }
    expect(await countStreams(account)).toBe(1);
  });

  it("means nothing to other methods", async () => {
    const account = await createAccount();
    const { id } = await answerOf<{ id: string }>(account.ask("POST", "/api/v1/streams", { title: "x" }), 201);
    for (const title of ["a", "b"]) {
      const answer = await account.ask("PATCH", `/api/v1/streams/${id}`, { title }, { "Idempotency-Key": KEY });
      expect(await answer.json()).toMatchObject({ title });
    }
    expect(await rowOf(account)).toBeNull();
  });
});
