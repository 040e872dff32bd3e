import { env } from "cloudflare:workers";
import { type CryptoKey, exportJWK, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { answerOf, askWorker, closedDatabase } from "./account.ts";
import { ask } from "./edge.ts";

const ISSUER = "https://issuer.test/";
const AUDIENCE = "nova-api";
const SECRET = new TextEncoder().encode("a shared secret of more than thirty-two bytes");

let settings: Partial<Env>;
let keys: Record<"RS256" | "ES256" | "EdDSA" | "stranger", CryptoKey>;
let jwks: { keys: object[] };
let fetches = 0;
let isAway = false;
let site = 0;

beforeEach(async () => {
  // Another address each time: what the isolate knows of one must not pass for the next.
  const jwksUrl = `https://issuer-${site++}.test/jwks.json`;
  settings = { JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE, JWT_JWKS_URL: jwksUrl };
  const pairs = {
    RS256: await generateKeyPair("RS256", { extractable: true }),
    ES256: await generateKeyPair("ES256", { extractable: true }),
    EdDSA: await generateKeyPair("EdDSA", { extractable: true }),
  };
  const stranger = await generateKeyPair("ES256");
  keys = { RS256: pairs.RS256.privateKey, ES256: pairs.ES256.privateKey, EdDSA: pairs.EdDSA.privateKey, stranger: stranger.privateKey };
  const published = await Promise.all(
    Object.entries(pairs).map(async ([alg, { publicKey }]) => ({ ...(await exportJWK(publicKey)), alg, kid: alg, use: "sig" })),
  );
  // A careless issuer's shared secret is no key for us.
  jwks = { keys: [...published, { kty: "oct", kid: "HS256", alg: "HS256", k: btoa("shared") }] };
  fetches = 0;
  isAway = false;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input) => {
    fetches++;
    if (isAway || String(input) !== jwksUrl) throw new TypeError("no such host");
    return Response.json(jwks);
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Requests of an address: so many, then no more. */
function limiter(count: number): RateLimit {
  let taken = 0;
  return { limit: async () => ({ success: ++taken <= count }) };
}

const later = (ms: number) => vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });

const now = () => Math.floor(Date.now() / 1000);
const CLAIMS = { iss: ISSUER, aud: AUDIENCE, sub: "auth0|anna", scope: "openid streams:read streams:write" };

function sign(claims: JWTPayload = {}, header: Partial<JWTHeaderParameters> = {}, key?: CryptoKey | Uint8Array): Promise<string> {
  const alg = header.alg ?? "ES256";
  return new SignJWT({ ...CLAIMS, exp: now() + 60, ...claims })
    .setProtectedHeader({ kid: alg, ...header, alg })
    .sign(key ?? keys[alg as "ES256"]);
}

function askMe(token: string, more: Partial<Env> = {}): Promise<Response> {
  return askWorker({ ...settings, ...more }, "/api/v1/me", { headers: { Authorization: `Bearer ${token}` } });
}

describe("a token of the outside issuer", () => {
  it.each(["RS256", "ES256", "EdDSA"])("speaks for an account of its own, signed by %s", async (alg) => {
    const me = await answerOf<{ account: { id: string } }>(askMe(await sign({}, { alg })), 200);
    expect(me).toMatchObject({
      account: { id: expect.stringMatching(/^jwt_[0-9a-f]{32}$/), name: "auth0|anna" },
      scopes: ["streams:read", "streams:write"],
      credential: "jwt",
      key_id: null,
    });
  });

  it("makes its account on first use, with its event, once", async () => {
    const token = await sign({ sub: "first-use" });
    const { account } = await answerOf<{ account: { id: string } }>(askMe(token), 200);
    await Promise.all([askMe(token), askMe(token)]);
    expect(await env.DB.prepare("SELECT issued FROM aggregates WHERE id = ?").bind(`account:${account.id}`).first("issued")).toBe(1);
  });

  it("sees its own streams only, and what it does is told as its own doing", async () => {
    const call = async (sub: string, method: string, path: string, body?: object) => {
      const headers = { Authorization: `Bearer ${await sign({ sub })}` };
      return askWorker(settings, path, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
    };
    const { id } = await answerOf<{ id: string }>(call("anna", "POST", "/api/v1/streams", { title: "Anna's" }), 201);
    expect((await call("anna", "GET", `/api/v1/streams/${id}`)).status).toBe(200);
    expect((await call("bert", "GET", `/api/v1/streams/${id}`)).status).toBe(404);
    expect(await answerOf(call("bert", "GET", "/api/v1/streams"), 200)).toEqual({ streams: [], next_cursor: null });
    expect((await call("anna", "GET", "/api/v1/api-keys")).status).toBe(403);
  });

  it("shares an account with others where another claim names it", async () => {
    const more = { JWT_ACCOUNT_CLAIM: "org", JWT_SCOPE_CLAIM: "permissions" };
    const me = async (sub: string, org: unknown) =>
      answerOf<{ account: { id: string }; scopes: string[] }>(
        askMe(await sign({ sub, org, permissions: ["keys:write", 7, "x"] }), more),
        200,
      );
    const [anna, bert, carl] = [await me("anna", "radio"), await me("bert", "radio"), await me("carl", "tv")];
    expect(anna.account.id).toBe(bert.account.id);
    expect(carl.account.id).not.toBe(anna.account.id);
    expect(anna.scopes).toEqual(["keys:write"]);
    for (const org of [undefined, 7, "", "x".repeat(256), "a\nb", ["radio"], "\ud800"])
      expect((await askMe(await sign({ org }), more)).status).toBe(401);
  });

  it("is administrator only where the deployment lets it", async () => {
    const token = await sign({ scope: "admin streams:read" });
    expect(await answerOf(askMe(token), 200)).toMatchObject({ scopes: ["streams:read"] });
    expect(await answerOf(askMe(token, { JWT_ALLOW_ADMIN: "true" }), 200)).toMatchObject({ scopes: ["streams:read", "admin"] });
  });

  it("is refused where anything about it is wrong", async () => {
    const encode = (value: object) => btoa(JSON.stringify(value)).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_");
    const [head, body, signature] = (await sign()).split(".") as [string, string, string];
    const wrong: Record<string, string> = {
      "another issuer": await sign({ iss: "https://other.test/" }),
      "no issuer": await sign({ iss: undefined }),
      "another audience": await sign({ aud: "other" }),
      "no audience": await sign({ aud: undefined }),
      expired: await sign({ exp: now() - 31 }),
      "without an end": await sign({ exp: undefined }),
      "not yet valid": await sign({ nbf: now() + 60 }),
      "a stranger's key": await sign({}, {}, keys.stranger),
      "a key that nobody knows": await sign({}, { kid: "unknown" }, keys.stranger),
      "a shared secret": await sign({}, { alg: "HS256" }, SECRET),
      "the public key as a secret": await sign({}, { alg: "HS256", kid: "ES256" }, SECRET),
      "an algorithm not listed": await sign({}, { alg: "ES384", kid: "ES256" }, (await generateKeyPair("ES384")).privateKey),
      "no signature": `${encode({ alg: "none" })}.${body}.`,
      "none, with a signature": `${encode({ alg: "none", kid: "ES256" })}.${body}.${signature}`,
      "other claims under the signature": `${head}.${encode({ ...CLAIMS, sub: "eve", exp: now() + 60 })}.${signature}`,
      "an unknown extension": await sign({}, { crit: ["x"], x: 1 } as never).catch(
        () => `${encode({ alg: "ES256", kid: "ES256", crit: ["x"], x: 1 })}.${body}.${signature}`,
      ),
      "too long": await sign({ more: "x".repeat(9000) }),
      "no JSON": "a.b.c",
      empty: "..",
    };
    for (const [what, token] of Object.entries(wrong)) expect([what, (await askMe(token)).status]).toEqual([what, 401]);
    // A little out of step is within tolerance.
    expect((await askMe(await sign({ exp: now() - 20, nbf: now() + 20 }))).status).toBe(200);
  });

  it("is off where nothing is set", async () => {
    const token = await sign();
    expect((await ask("/api/v1/me", { headers: { Authorization: `Bearer ${token}` } })).status).toBe(401);
    expect(fetches).toBe(0);
  });
});

describe("the issuer's keys", () => {
  it("are fetched once for many tokens, and never for whom the issuer has not heard of", async () => {
    for (let i = 0; i < 3; i++) expect((await askMe(await sign({ sub: `s${i}` }))).status).toBe(200);
    expect(fetches).toBe(1);
    await askMe(await sign({ iss: "https://other.test/" }));
    await askMe(await sign({}, { alg: "HS256" }, SECRET));
    expect(fetches).toBe(1);
    // Unknown key ids make it ask no more than once in a while.
    for (let i = 0; i < 5; i++) await askMe(await sign({}, { kid: `unknown-${i}` }, keys.stranger));
    expect(fetches).toBeLessThanOrEqual(2);
  });

  it("being away is 503, not 401, and is not asked again at once", async () => {
    isAway = true;
    for (let i = 0; i < 3; i++) {
      const answer = await askMe(await sign());
      expect(answer.status).toBe(503);
      expect(answer.headers.get("Retry-After")).toBe("5");
      expect(await answer.json()).toMatchObject({ error: "unavailable" });
    }
    expect(fetches).toBe(1);
  });

  it("once known, are good while the issuer is away, whoever asks for others", async () => {
    const token = await sign({ exp: now() + 3600 });
    const stranger = await sign({ exp: now() + 3600 }, { kid: "unknown" }, keys.stranger);
    expect((await askMe(token)).status).toBe(200);
    later(31_000);
    isAway = true;
    for (let i = 0; i < 3; i++) {
      expect((await askMe(stranger)).status).toBe(503);
      expect((await askMe(token)).status).toBe(200);
    }
    expect(fetches).toBe(2);
    // Back again: what it does not have is nobody's.
    isAway = false;
    later(6_000);
    expect((await askMe(stranger)).status).toBe(401);
    expect((await askMe(token)).status).toBe(200);
    expect(fetches).toBe(3);
    // After ten minutes they are asked for again.
    later(601_000);
    isAway = true;
    expect((await askMe(token)).status).toBe(503);
  });

  it("are asked for where a token names a new one", async () => {
    expect((await askMe(await sign())).status).toBe(200);
    const fresh = await generateKeyPair("ES256", { extractable: true });
    jwks.keys.push({ ...(await exportJWK(fresh.publicKey)), alg: "ES256", kid: "fresh", use: "sig" });
    const token = await sign({ exp: now() + 3600 }, { kid: "fresh" }, fresh.privateKey);
    expect((await askMe(token)).status).toBe(401);
    later(31_000);
    expect((await askMe(token)).status).toBe(200);
    expect(fetches).toBe(2);
  });

  it("being away, or its tokens being over, an address is answered so often only", async () => {
    isAway = true;
    const token = await sign({}, {}, keys.stranger);
    const ADDRESS_LIMIT = limiter(2);
    for (const status of [503, 503, 429]) expect((await askMe(token, { ADDRESS_LIMIT })).status).toBe(status);
    isAway = false;
    later(6_000);
    const over = await sign({ exp: now() - 60 });
    for (const [status, limit] of [
      [401, 1],
      [429, 0],
    ] as const)
      expect((await askMe(over, { ADDRESS_LIMIT: limiter(limit) })).status).toBe(status);
    // Who has a valid one is not meant.
    expect((await askMe(await sign(), { ADDRESS_LIMIT: limiter(0) })).status).toBe(200);
  });

  it("known, a token is checked without D1 once its account is known", async () => {
    const token = await sign({ sub: "known" });
    expect((await askMe(token)).status).toBe(200);
    const { DB, asked } = closedDatabase();
    // The scope is refused before anything is asked.
    const answer = await askWorker({ ...settings, DB }, "/api/v1/accounts", { headers: { Authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(403);
    expect(asked()).toBe(0);
  });
});

describe("settings that are wrong", () => {
  it.each([
    ["no audience", { JWT_AUDIENCE: "" }],
    ["a shared-secret algorithm", { JWT_ALGORITHMS: "RS256,HS256" }],
    ["none", { JWT_ALGORITHMS: "none" }],
    ["no algorithm", { JWT_ALGORITHMS: "" }],
    ["no address", { JWT_JWKS_URL: "" }],
    ["an address without TLS", { JWT_JWKS_URL: "http://issuer.test/jwks.json" }],
    ["a name that only begins like loopback", { JWT_JWKS_URL: "http://localhost.evil.test/jwks.json" }],
  ])("let nobody in: %s", async (_what, wrong) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    // What is logged is not logged again for a while: each case is later than the one before.
    later(60_000 * site);
    const ADDRESS_LIMIT = limiter(3);
    for (const status of [503, 503, 503, 429]) expect((await askMe(await sign(), { ...wrong, ADDRESS_LIMIT })).status).toBe(status);
    expect(fetches).toBe(0);
    expect(log).toHaveBeenCalledTimes(1);
    expect(log).toHaveBeenCalledWith(expect.stringContaining("jwt_misconfigured"));
    expect(JSON.stringify(log.mock.calls)).not.toContain("anna");
  });
});
