import { describe, expect, it } from "vitest";
import { askWorker, closedDatabase, createAccount } from "./account.ts";
import { ask, askApi, createStream } from "./edge.ts";

/** A limiter that counts, and lets a number of requests of each key through. */
function limiter(limit: number): RateLimit & { counts: Map<string, number> } {
  const counts = new Map<string, number>();
  return {
    counts,
    limit: async ({ key }) => {
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return { success: count <= limit };
    },
  };
}

const bearer = (key: string) => ({ headers: { Authorization: `Bearer ${key}` } });
const from = (address: string) => ({ headers: { "CF-Connecting-IP": address } });

describe("requests without a valid key", () => {
  it("are 100 a minute of one address, by the platform's own limiter", async () => {
    let refused: Response;
    let taken = 0;
    // The minute may be over meanwhile, once.
    for (;;) {
      refused = await ask("/api/v1/streams", from("192.0.2.1"));
      if (refused.status !== 401 || taken > 200) break;
      taken++;
    }
    expect(taken).toBeGreaterThanOrEqual(100);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("Retry-After")).toBe("60");
    expect(await refused.json()).toMatchObject({ error: "rate_limited" });
    // Others are not meant; nor is who has a key, behind the same address.
    expect((await ask("/api/v1/streams", from("192.0.2.2"))).status).toBe(401);
    const withKey = { headers: { "CF-Connecting-IP": "192.0.2.1", Authorization: "Bearer test-admin-key" } };
    expect((await ask("/api/v1/streams", withKey)).status).toBe(200);
  });

  it("are of one IPv6 network, and of one machine where there is no address", async () => {
    const ADDRESS_LIMIT = limiter(2);
    for (const address of ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"])
      await askWorker({ ADDRESS_LIMIT }, "/api/v1/me", from(address));
    await askWorker({ ADDRESS_LIMIT }, "/api/v1/me");
    expect([...ADDRESS_LIMIT.counts]).toEqual([
      ["2001:db8:0:0::/64", 3],
      ["loopback", 1],
    ]);
  });

  it("count whatever is wrong with the key, and before the body or the database is read", async () => {
    const { DB, asked } = closedDatabase();
    const ADDRESS_LIMIT = limiter(0);
    const { key } = await createAccount();
    const changed = key.slice(0, -1) + (key.endsWith("0") ? "1" : "0");
    for (const made of ["wrong", "a.b.c", "nova_api_x", changed]) {
      const answer = await askWorker({ DB, ADDRESS_LIMIT }, "/api/v1/streams", { method: "POST", body: "{nope", ...bearer(made) });
      expect(answer.status).toBe(429);
    }
    expect(asked()).toBe(0);
  });

  it("do not count where no key is needed", async () => {
    const ADDRESS_LIMIT = limiter(0);
    const { id } = await createStream();
    expect((await askWorker({ ADDRESS_LIMIT }, "/health")).status).toBe(200);
    expect((await askWorker({ ADDRESS_LIMIT }, `/hls/${id}/index.m3u8`)).status).not.toBe(429);
    const beacon = { method: "POST", body: JSON.stringify({ viewer: "viewer-0001", events: [] }) };
    expect((await askWorker({ ADDRESS_LIMIT }, `/api/v1/streams/${id}/beacon`, beacon)).status).not.toBe(429);
    expect(ADDRESS_LIMIT.counts.size).toBe(0);
  });
});

describe("requests with a key", () => {
  it("are limited by key, before the database is asked", async () => {
    const KEY_LIMIT = limiter(2);
    const [one, two] = [await createAccount(), await createAccount()];
    for (const status of [200, 200, 429]) expect((await askWorker({ KEY_LIMIT }, "/api/v1/streams", bearer(one.key))).status).toBe(status);
    expect((await askWorker({ KEY_LIMIT }, "/api/v1/streams", bearer(two.key))).status).toBe(200);
    const { DB, asked } = closedDatabase();
    expect((await askWorker({ KEY_LIMIT, DB }, "/api/v1/streams", bearer(one.key))).status).toBe(429);
    expect(asked()).toBe(0);
    // What the limiter is told is not the key.
    expect(JSON.stringify([...KEY_LIMIT.counts.keys()])).not.toContain(one.key);
  });

  it("that is revoked count against the address", async () => {
    const ADDRESS_LIMIT = limiter(1);
    const account = await createAccount();
    await account.ask("DELETE", `/api/v1/api-keys/${account.keyId}`);
    for (const status of [401, 429]) expect((await askWorker({ ADDRESS_LIMIT }, "/api/v1/me", bearer(account.key))).status).toBe(status);
  });

  it("of the deployment itself are not limited", async () => {
    const KEY_LIMIT = limiter(0);
    expect((await askWorker({ KEY_LIMIT }, "/api/v1/me", bearer("test-admin-key"))).status).toBe(200);
    expect((await askApi("GET", "/api/v1/me")).status).toBe(200);
  });
});

it("a limiter that is away stops nobody", async () => {
  const away: RateLimit = { limit: () => Promise.reject(new Error("away")) };
  const { key } = await createAccount();
  expect((await askWorker({ ADDRESS_LIMIT: away, KEY_LIMIT: away }, "/api/v1/me", bearer(key))).status).toBe(200);
  expect((await askWorker({ ADDRESS_LIMIT: away, KEY_LIMIT: away }, "/api/v1/me")).status).toBe(401);
});
