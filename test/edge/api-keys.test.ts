import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { MAX_API_KEYS } from "../../domain/protocol/api/accounts.ts";
import { answerOf, askWith, askWorker, createAccount } from "./account.ts";
import { askApi } from "./edge.ts";
import { meddledDatabase } from "./meddled-database.ts";

interface Key {
  id: string;
  name: string;
  prefix: string;
  scopes: string[];
  status: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  revoked_at: string | null;
  replaced_by: string | null;
}
type CreatedKey = Key & { key: string };

const READ = { name: "reader", scopes: ["streams:read"] };

describe("an API key", () => {
  it("is shown once, and kept as a digest", async () => {
    const account = await createAccount();
    const made = await answerOf<CreatedKey>(account.ask("POST", "/api/v1/api-keys", READ), 201);
    expect(made).toMatchObject({
      ...{
        name: "reader",
        scopes: ["streams:read"],
        status: "valid",
        expires_at: null,
        last_used_at: null,
        revoked_at: null,
        replaced_by: null,
      },
      key: expect.stringMatching(/^nova_api_[0-9a-z]{32}$/),
      prefix: made.key.slice(0, 14),
    });
    const { key, ...shown } = made;
    expect(await answerOf(account.ask("GET", `/api/v1/api-keys/${made.id}`), 200)).toEqual(shown);
    const list = await answerOf<{ keys: Key[] }>(account.ask("GET", "/api/v1/api-keys"), 200);
    expect(list.keys.map(({ id }) => id)).toEqual([made.id, account.keyId]);
    expect(JSON.stringify(list)).not.toContain(key);
    const tables = ["api_keys", "outbox", "events", "idempotency_keys"];
    for (const table of tables) {
      const { results } = await env.DB.prepare(`SELECT * FROM ${table}`).all();
      expect(JSON.stringify(results)).not.toContain(key);
    }
  });

  it("notes when it was last used, once a minute", async () => {
    const account = await createAccount();
    const lastUse = async () => (await answerOf<Key>(account.ask("GET", `/api/v1/api-keys/${account.keyId}`), 200)).last_used_at;
    const before = Date.now();
    await expect.poll(lastUse).not.toBeNull();
    const first = await lastUse();
    expect(Date.parse(first ?? "")).toBeGreaterThanOrEqual(before);
    for (let i = 0; i < 3; i++) expect(await lastUse()).toBe(first);
    const earlier = Date.now() - 61_000;
    await env.DB.prepare("UPDATE api_keys SET last_used_at = ? WHERE id = ?").bind(earlier, account.keyId).run();
    await expect.poll(async () => Date.parse((await lastUse()) ?? "")).toBeGreaterThanOrEqual(before);
  });

  it.each([
    ["no scope", { name: "x", scopes: [] }],
    ["an unknown scope", { name: "x", scopes: ["streams:everything"] }],
    ["no name", { scopes: ["streams:read"] }],
    ["a name over 64", { ...READ, name: "x".repeat(65) }],
    ["a time that is no time", { ...READ, expires_at: "tomorrow" }],
    ["a time that has been", { ...READ, expires_at: "2020-01-01T00:00:00Z" }],
    ["a time after the year 2100", { ...READ, expires_at: "2101-01-01T00:00:00Z" }],
    ["an unknown field", { ...READ, account_id: "admin" }],
  ])("is refused with %s", async (_what, body) => {
    expect(await answerOf(askApi("POST", "/api/v1/api-keys", body), 400)).toMatchObject({ error: "invalid_request" });
  });

  it("gives only scopes that its maker has", async () => {
    const narrow = await createAccount("Narrow", ["keys:write", "streams:read"]);
    await answerOf(narrow.ask("POST", "/api/v1/api-keys", READ), 201);
    const more = await answerOf<{ error: string; message: string }>(
      narrow.ask("POST", "/api/v1/api-keys", { name: "x", scopes: ["streams:write", "streams:read"] }),
      403,
    );
    expect(more).toMatchObject({ error: "forbidden", message: expect.stringContaining("streams:write") });
    // Neither by the back door: a rotated key would be a new one with the old one's scopes.
    const wide = await answerOf<CreatedKey>(
      askApi("POST", `/api/v1/accounts/${narrow.id}/api-keys`, { name: "wide", scopes: ["streams:write"] }),
      201,
    );
    expect((await narrow.ask("POST", `/api/v1/api-keys/${wide.id}/rotate`, {})).status).toBe(403);
    expect((await narrow.ask("POST", "/api/v1/api-keys", { name: "x", scopes: ["admin"] })).status).toBe(403);
  });

  it("has the scope admin in the administrator's account only", async () => {
    const account = await createAccount();
    const path = `/api/v1/accounts/${account.id}/api-keys`;
    expect(await answerOf(askApi("POST", path, { name: "x", scopes: ["admin"] }), 400)).toMatchObject({ error: "invalid_request" });
    const admin = await answerOf<CreatedKey>(askApi("POST", "/api/v1/api-keys", { name: "second", scopes: ["admin"] }), 201);
    expect((await askWith(admin.key)("GET", "/api/v1/accounts")).status).toBe(200);
    expect((await askWith(admin.key)("POST", "/api/v1/streams", { title: "x" })).status).toBe(201);
  });
});

describe("rotating an API key", () => {
  it("makes a new one, and the old one goes on for the overlap", async () => {
    const account = await createAccount();
    const old = await answerOf<CreatedKey>(account.ask("POST", "/api/v1/api-keys", READ), 201);
    const before = Date.now();
    const fresh = await answerOf<CreatedKey>(account.ask("POST", `/api/v1/api-keys/${old.id}/rotate`, { overlap_seconds: 60 }), 201);
    expect(fresh).toMatchObject({ name: "reader", scopes: ["streams:read"], status: "valid", expires_at: null });
    expect(fresh.key).not.toBe(old.key);
    for (const { key } of [old, fresh]) expect((await askWith(key)("GET", "/api/v1/streams")).status).toBe(200);
    const after = await answerOf<Key>(account.ask("GET", `/api/v1/api-keys/${old.id}`), 200);
    const end = Date.parse(after.expires_at ?? "");
    expect(end).toBeGreaterThanOrEqual(before + 60_000);
    expect(end).toBeLessThanOrEqual(Date.now() + 60_000);
  });

  it("ends the old one at once without an overlap, and after a day where nothing is said", async () => {
    const account = await createAccount();
    const old = await answerOf<CreatedKey>(account.ask("POST", "/api/v1/api-keys", READ), 201);
    const second = await answerOf<CreatedKey>(account.ask("POST", `/api/v1/api-keys/${old.id}/rotate`, { overlap_seconds: 0 }), 201);
    expect((await askWith(old.key)("GET", "/api/v1/streams")).status).toBe(401);
    await answerOf(account.ask("POST", `/api/v1/api-keys/${second.id}/rotate`, {}), 201);
    const { expires_at } = await answerOf<Key>(account.ask("GET", `/api/v1/api-keys/${second.id}`), 200);
    expect(Math.abs(Date.parse(expires_at ?? "") - Date.now() - 86_400_000)).toBeLessThan(10_000);
    for (const overlap_seconds of [-1, 604_801, 1.5, "60"])
      expect((await account.ask("POST", `/api/v1/api-keys/${second.id}/rotate`, { overlap_seconds })).status).toBe(400);
  });

  it("never makes the old one live longer, and gives the new one as long a life", async () => {
    const account = await createAccount();
    const expires_at = new Date(Date.now() + 30_000).toISOString();
    const old = await answerOf<CreatedKey>(account.ask("POST", "/api/v1/api-keys", { ...READ, expires_at }), 201);
    const fresh = await answerOf<CreatedKey>(account.ask("POST", `/api/v1/api-keys/${old.id}/rotate`, { overlap_seconds: 600_000 }), 201);
    expect(await answerOf(account.ask("GET", `/api/v1/api-keys/${old.id}`), 200)).toMatchObject({ expires_at });
    expect(Date.parse(fresh.expires_at ?? "") - Date.parse(fresh.created_at)).toBe(Date.parse(expires_at) - Date.parse(old.created_at));
  });

  it.each([0, 600])("is done once, however many ask together: overlap %s", async (overlap_seconds) => {
    const account = await createAccount();
    const expires_at = new Date(Date.now() + 3_600_000).toISOString();
    const old = await answerOf<CreatedKey>(account.ask("POST", "/api/v1/api-keys", { ...READ, expires_at }), 201);
    const rotate = (id: string) => account.ask("POST", `/api/v1/api-keys/${id}/rotate`, { overlap_seconds });
    const answers = await Promise.all(Array.from({ length: 20 }, () => rotate(old.id)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
    const bodies = await Promise.all(answers.map((answer) => answer.json<CreatedKey & { error?: string }>()));
    expect(new Set(bodies.map(({ error }) => error))).toEqual(new Set([undefined, "already_rotated"]));
    const fresh = bodies.find(({ error }) => error === undefined) as CreatedKey;
    expect(fresh).toMatchObject({ status: "valid", replaced_by: null });
    // Nor one after another: and the answer names no other key.
    const again = await answerOf<object>(rotate(old.id), 409);
    expect(again).toMatchObject({ error: "already_rotated" });
    expect(JSON.stringify(again)).not.toContain(fresh.id);
    const { keys } = await answerOf<{ keys: Key[] }>(account.ask("GET", "/api/v1/api-keys"), 200);
    expect(keys.map(({ id, replaced_by }) => [id, replaced_by])).toEqual([
      [fresh.id, null],
      [old.id, fresh.id],
      [account.keyId, null],
    ]);
    // Its successor goes on, for as long as the first was made for.
    const third = await answerOf<CreatedKey>(rotate(fresh.id), 201);
    const life = ({ expires_at, created_at }: Key) => Date.parse(expires_at ?? "") - Date.parse(created_at);
    expect([life(fresh), life(third)]).toEqual([life(old), life(old)]);
    const told = "SELECT count(*) AS count FROM outbox WHERE event ->> 'type' = 'api_key.rotated' AND event ->> 'account_id' = ?";
    const recorded = "SELECT count(*) AS count FROM events WHERE type = 'api_key.rotated' AND account_id = ?";
    const counts = await env.DB.batch<{ count: number }>([told, recorded].map((query) => env.DB.prepare(query).bind(account.id)));
    expect(counts.reduce((sum, { results }) => sum + (results[0]?.count ?? 0), 0)).toBe(2);
  });

  it("does not bring back a key that has expired", async () => {
    const account = await createAccount();
    const old = await answerOf<CreatedKey>(account.ask("POST", "/api/v1/api-keys", READ), 201);
    const rotate = `/api/v1/api-keys/${old.id}/rotate`;
    const expire = () => env.DB.prepare("UPDATE api_keys SET expires_at = 1 WHERE id = ?").bind(old.id).run();
    const init = { method: "POST", headers: { Authorization: `Bearer ${account.key}` }, body: "{}" };
    // Between being read and being rotated, and before.
    expect(await answerOf(askWorker({ DB: meddledDatabase(expire) }, rotate, init), 409)).toMatchObject({ error: "key_expired" });
    expect(await answerOf(account.ask("POST", rotate, {}), 409)).toMatchObject({ error: "key_expired" });
    const { keys } = await answerOf<{ keys: Key[] }>(account.ask("GET", "/api/v1/api-keys"), 200);
    expect(keys.map(({ id, status, replaced_by }) => [id, status, replaced_by])).toEqual([
      [old.id, "expired", null],
      [account.keyId, "valid", null],
    ]);
  });

  it("says that a key was revoked, also where that happens while it is rotated", async () => {
    const account = await createAccount();
    const old = await answerOf<CreatedKey>(account.ask("POST", "/api/v1/api-keys", READ), 201);
    const revoke = () => env.DB.prepare("UPDATE api_keys SET revoked_at = 1 WHERE id = ?").bind(old.id).run();
    const init = { method: "POST", headers: { Authorization: `Bearer ${account.key}` }, body: "{}" };
    const answer = askWorker({ DB: meddledDatabase(revoke) }, `/api/v1/api-keys/${old.id}/rotate`, init);
    expect(await answerOf(answer, 409)).toMatchObject({ error: "already_revoked" });
  });

  it("is for keys that are not revoked", async () => {
    const account = await createAccount();
    const old = await answerOf<CreatedKey>(account.ask("POST", "/api/v1/api-keys", READ), 201);
    expect((await account.ask("DELETE", `/api/v1/api-keys/${old.id}`)).status).toBe(204);
    expect(await answerOf(account.ask("POST", `/api/v1/api-keys/${old.id}/rotate`, {}), 409)).toMatchObject({ error: "already_revoked" });
    expect(await answerOf(account.ask("DELETE", `/api/v1/api-keys/${old.id}`), 409)).toMatchObject({ error: "already_revoked" });
    expect(await answerOf(account.ask("GET", `/api/v1/api-keys/${old.id}`), 200)).toMatchObject({ status: "revoked" });
    expect(await answerOf(account.ask("DELETE", "/api/v1/api-keys/nope"), 404)).toMatchObject({ error: "key_not_found" });
  });
});

describe("an account's keys", () => {
  it(`are at most ${MAX_API_KEYS} at once, also when many are asked for together`, async () => {
    const account = await createAccount();
    // All but three of them, and some that do not count.
    const insert = env.DB.prepare(
      `INSERT INTO api_keys (id, account_id, name, digest, scopes, created_at, expires_at, revoked_at)
       SELECT 'full-' || value, ?, 'x', 'full-' || value, '["streams:read"]', 0, ?, ? FROM json_each(?)`,
    );
    const numbers = (from: number, count: number) => JSON.stringify(Array.from({ length: count }, (_, i) => from + i));
    await insert.bind(account.id, null, null, numbers(0, MAX_API_KEYS - 4)).run();
    await insert.bind(account.id, 1, null, numbers(1000, 5)).run();
    await insert.bind(account.id, null, 1, numbers(2000, 5)).run();
    const answers = await Promise.all(Array.from({ length: 6 }, () => account.ask("POST", "/api/v1/api-keys", READ)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 409, 409, 409]);
    const rotate = (overlap_seconds: number) => account.ask("POST", `/api/v1/api-keys/${account.keyId}/rotate`, { overlap_seconds });
    expect(await answerOf(rotate(60), 409)).toMatchObject({ error: "too_many_keys" });
    expect((await account.ask("GET", "/api/v1/me")).status).toBe(200);
    // One for one fits.
    expect((await rotate(0)).status).toBe(201);
  });

  it("are listed page by page, the newest first", async () => {
    const account = await createAccount();
    const made = [account.keyId];
    for (let i = 0; i < 4; i++) made.unshift((await answerOf<Key>(account.ask("POST", "/api/v1/api-keys", READ), 201)).id);
    const first = await answerOf<{ keys: Key[]; next_cursor: string }>(account.ask("GET", "/api/v1/api-keys?limit=3"), 200);
    const rest = await answerOf<{ keys: Key[]; next_cursor: string }>(
      account.ask("GET", `/api/v1/api-keys?limit=3&cursor=${first.next_cursor}`),
      200,
    );
    expect([...first.keys, ...rest.keys].map(({ id }) => id)).toEqual(made);
    expect(rest.next_cursor).toBeNull();
    expect((await account.ask("GET", "/api/v1/api-keys?cursor=nope")).status).toBe(400);
  });
});
