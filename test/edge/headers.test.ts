import { describe, expect, it } from "vitest";
import { askWorker } from "./account.ts";
import { ask, askApi, createStream, SITE } from "./edge.ts";

const ALLOWED = { ALLOWED_ORIGINS: "https://studio.test, https://other.test" };
const admin = { Authorization: "Bearer test-admin-key" };

describe("every answer of the API", () => {
  it.each([
    ["one that worked", () => askApi("GET", "/api/v1/streams"), 200],
    ["one without a body", async () => askApi("DELETE", `/api/v1/streams/${(await createStream()).id}`), 204],
    ["one without a key", () => ask("/api/v1/streams"), 401],
    ["wrong input", () => askApi("POST", "/api/v1/streams", {}), 400],
    ["a stream that is not there", () => askApi("GET", "/api/v1/streams/nope"), 404],
    ["an address that is not there", () => ask("/api/v1/nowhere"), 404],
    ["a method that is not there", () => ask("/api/v1/streams", { method: "PUT" }), 405],
    ["no upgrade", async () => ask(`/api/v1/streams/${(await createStream()).id}/ws`), 426],
  ] as const)("has its id and the security headers: %s", async (_what, call, status) => {
    const answer = await call();
    expect(answer.status).toBe(status);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "x-request-id": expect.stringMatching(/^[0-9a-f-]{36}$/),
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "cross-origin-resource-policy": "same-origin",
      "strict-transport-security": expect.stringMatching(/^max-age=\d{8}$/),
      "cache-control": "no-store",
      vary: expect.stringContaining("Origin"),
    });
    if (status >= 400) expect(await answer.json()).toMatchObject({ request_id: answer.headers.get("X-Request-Id") });
  });

  it("takes the id of Cloudflare's own log, and nothing that is none", async () => {
    const idOf = async (ray: string) => (await ask("/api/v1/streams", { headers: { "cf-ray": ray } })).headers.get("X-Request-Id");
    expect(await idOf("8f1c6f0e9d2a4b7c-FRA")).toBe("8f1c6f0e9d2a4b7c-FRA");
    expect(await idOf("<script>")).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("is 405 with Allow where only the method is wrong", async () => {
    const { id } = await createStream();
    const answer = await ask(`/api/v1/streams/${id}`, { method: "PUT", body: "{}" });
    expect(answer.status).toBe(405);
    expect(answer.headers.get("Allow")).toBe("DELETE, GET, HEAD, OPTIONS, PATCH");
    expect(await answer.json()).toMatchObject({ error: "method_not_allowed", message: expect.stringContaining("PATCH") });
    const options = await ask("/api/v1/streams", { method: "OPTIONS" });
    expect([options.status, options.headers.get("Allow")]).toEqual([204, "GET, HEAD, OPTIONS, POST"]);
    expect((await ask("/api/v1/streams/", { method: "PUT" })).status).toBe(404);
    const inBrowser = await ask("/api/v1/nowhere", { headers: { Accept: "text/html" } });
    expect(await inBrowser.json()).toMatchObject({ error: "not_found" });
  });

  it("to HEAD is that to GET without its body", async () => {
    const answer = await ask("/api/v1/streams", { method: "HEAD", headers: admin });
    expect([answer.status, await answer.text()]).toEqual([200, ""]);
  });
});

describe("a page of another site", () => {
  const preflight = (origin: string, path = "/api/v1/streams") =>
    askWorker(ALLOWED, path, {
      method: "OPTIONS",
      headers: { Origin: origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization" },
    });

  it.each(["https://studio.test", "https://other.test", SITE])("may call the API if it is on the list, or our own: %s", async (origin) => {
    const asked = await preflight(origin);
    expect(asked.status).toBe(204);
    expect(Object.fromEntries(asked.headers)).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-methods": expect.stringContaining("PATCH"),
      "access-control-allow-headers": "Authorization, Content-Type, Idempotency-Key, If-Match",
    });
    for (const headers of [{ Origin: origin, ...admin }, { Origin: origin }]) {
      const answer = await askWorker(ALLOWED, "/api/v1/streams", { headers });
      expect(answer.headers.get("Access-Control-Allow-Origin")).toBe(origin);
      expect(answer.headers.get("Access-Control-Expose-Headers")).toContain("X-Request-Id");
      expect(answer.headers.has("Access-Control-Allow-Credentials")).toBe(false);
    }
  });

  it.each(["https://evil.test", "http://studio.test", "https://studio.test.evil.test", "https://studio.test:8443", "null", "", "*"])(
    "may not if it is not: %j",
    async (origin) => {
      for (const answer of [
        await preflight(origin),
        await askWorker(ALLOWED, "/api/v1/streams", { headers: { Origin: origin, ...admin } }),
      ]) {
        expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
        expect(answer.headers.get("Vary")).toContain("Origin");
      }
    },
  );

  it("may send beacons, as any site may", async () => {
    const { id } = await createStream();
    const asked = await preflight("https://evil.test", `/api/v1/streams/${id}/beacon`);
    expect(asked.headers.get("Access-Control-Allow-Origin")).toBe("*");
  });

  it("on http is told nothing of TLS", async () => {
    const { default: worker } = await import("../../workers/index.ts");
    const { env } = await import("cloudflare:workers");
    const { createExecutionContext } = await import("cloudflare:test");
    const request = new Request("http://edge.test/api/v1/streams") as Parameters<typeof worker.fetch>[0];
    const answer = await worker.fetch(request, env as Env, createExecutionContext());
    expect(answer.headers.has("Strict-Transport-Security")).toBe(false);
  });
});

it("a socket opens as before", async () => {
  const { id } = await createStream();
  const answer = await ask(`/api/v1/streams/${id}/ws?viewer=viewer-0001`, { headers: { Upgrade: "websocket" } });
  expect(answer.status).toBe(101);
  expect(answer.webSocket).not.toBeNull();
  answer.webSocket?.accept();
  answer.webSocket?.close();
});
