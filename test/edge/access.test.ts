import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { answerOf, askWith, askWorker, closedDatabase, createAccount } from "./account.ts";
import { ask, askApi, createStream } from "./edge.ts";

const bearer = (key: string) => ({ headers: { Authorization: `Bearer ${key}` } });

describe("who calls", () => {
  it("is the administrator by the deployment's own key, which needs no database to be known", async () => {
    expect(await answerOf(askApi("GET", "/api/v1/me"), 200)).toMatchObject({
      account: { id: "admin" },
      scopes: ["streams:read", "streams:write", "keys:write", "admin"],
      credential: "admin_key",
      key_id: null,
    });
  });

  it("is an account by its API key", async () => {
    const account = await createAccount("Radio", ["streams:read"]);
    expect(await answerOf(account.ask("GET", "/api/v1/me"), 200)).toEqual({
      account: { id: account.id, name: "Radio", created_at: expect.any(String) },
      scopes: ["streams:read"],
      credential: "api_key",
      key_id: account.keyId,
    });
    // The scheme is not case-sensitive (rfc9110 §11.1).
    expect((await ask("/api/v1/me", { headers: { Authorization: `bearer  ${account.key} ` } })).status).toBe(200);
  });

  it.each([
    "",
    "Bearer",
    "Bearer ",
    "Basic dGVzdA==",
    "test-admin-key",
    "Bearer test-admin-key2",
    "Bearer nova_api_",
    "Bearer a.b.c",
    "Bearer null",
  ])("is nobody by %j", async (authorization) => {
    const answer = await ask("/api/v1/me", { headers: { Authorization: authorization } });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("WWW-Authenticate")).toBe("Bearer");
    expect(await answer.json()).toMatchObject({ error: "unauthorized", message: expect.stringContaining("key") });
  });

  it("is not asked of the database where a key was made up", async () => {
    const { DB, asked } = closedDatabase();
    const { key } = await createAccount();
    const changed = key.slice(0, -1) + (key.endsWith("0") ? "1" : "0");
    for (const made of [changed, `nova_api_${"0".repeat(32)}`, "nova_api_x", key.toUpperCase(), "wrong", "x".repeat(9000)]) {
      expect((await askWorker({ DB }, "/api/v1/streams", bearer(made))).status).toBe(401);
    }
    expect(asked()).toBe(0);
    // A real one is, and cannot be told without: 503, not 401.
    const answer = await askWorker({ DB }, "/api/v1/streams", bearer(key));
    expect(answer.status).toBe(503);
    expect(answer.headers.get("Retry-After")).toBe("5");
    expect(asked()).toBe(1);
  });

  it("is nobody by a stream key, or an API key's digest", async () => {
    const { stream_key } = await createStream();
    expect((await ask("/api/v1/me", bearer(stream_key))).status).toBe(401);
    const { keyId } = await createAccount();
    const row = await env.DB.prepare("SELECT digest FROM api_keys WHERE id = ?").bind(keyId).first<{ digest: string }>();
    expect((await ask("/api/v1/me", bearer(row?.digest ?? ""))).status).toBe(401);
  });
});

describe("what a caller may do", () => {
  it.each([
    ["streams:read", "POST", "/api/v1/streams", "streams:write"],
    ["streams:write", "GET", "/api/v1/streams", "streams:read"],
    ["streams:write", "GET", "/api/v1/api-keys", "keys:write"],
    ["keys:write", "GET", "/api/v1/accounts", "admin"],
  ] as const)("with %s alone is not %s %s", async (scope, method, path, needed) => {
    const account = await createAccount("Narrow", [scope]);
    const answer = await account.ask(method, path, method === "POST" ? { title: "x" } : undefined);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ error: "forbidden", message: `this needs a key with the scope ${needed}` });
  });

  it("ends with its key: revoked, or expired", async () => {
    const account = await createAccount();
    const { id, key } = await answerOf<{ id: string; key: string }>(
      account.ask("POST", "/api/v1/api-keys", { name: "short", scopes: ["streams:read"], expires_at: "2099-01-01T00:00:00Z" }),
      201,
    );
    const asShort = askWith(key);
    expect((await asShort("GET", "/api/v1/streams")).status).toBe(200);
    await env.DB.prepare("UPDATE api_keys SET expires_at = ? WHERE id = ?").bind(Date.now(), id).run();
    expect((await asShort("GET", "/api/v1/streams")).status).toBe(401);
    expect((await account.ask("DELETE", `/api/v1/api-keys/${account.keyId}`)).status).toBe(204);
    expect((await account.ask("GET", "/api/v1/streams")).status).toBe(401);
  });
});
