import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { AuditEvent } from "../../domain/protocol/api/audit-events.ts";
import { answerOf, createAccount } from "./account.ts";
import { askApi } from "./edge.ts";

interface Account {
  id: string;
  name: string;
  created_at: string;
}

describe("accounts", () => {
  it("are created and shown by administrators", async () => {
    const answer = await askApi("POST", "/api/v1/accounts", { name: "  Radio Nordwind " });
    expect(answer.status).toBe(201);
    const account = (await answer.json()) as Account;
    expect(account).toEqual({ id: expect.stringMatching(/^acc_[0-9a-z]{16}$/), name: "Radio Nordwind", created_at: expect.any(String) });
    expect(answer.headers.get("Location")).toBe(`/api/v1/accounts/${account.id}`);
    expect(await answerOf(askApi("GET", `/api/v1/accounts/${account.id}`), 200)).toEqual(account);
    expect(await answerOf(askApi("GET", "/api/v1/accounts/acc_0000000000000000"), 404)).toMatchObject({ error: "account_not_found" });
  });

  it.each([
    ["no name", {}, "name"],
    ["a name that cannot be seen", { name: " \u200b " }, "name"],
    ["a name over 100", { name: "x".repeat(101) }, "name"],
    ["an unknown field", { name: "x", id: "admin" }, "id"],
  ])("are refused with %s", async (_what, body, field) => {
    expect(await answerOf(askApi("POST", "/api/v1/accounts", body), 400)).toMatchObject({ error: "invalid_request", details: [{ field }] });
  });

  it("are listed page by page, the newest first", async () => {
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.push((await answerOf<Account>(askApi("POST", "/api/v1/accounts", { name: `page ${i}` }), 201)).id);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const path: string = `/api/v1/accounts?limit=2${cursor === null ? "" : `&cursor=${cursor}`}`;
      const page: { accounts: Account[]; next_cursor: string | null } = await answerOf(askApi("GET", path), 200);
      expect(page.accounts.length).toBeLessThanOrEqual(2);
      seen.push(...page.accounts.map(({ id }) => id));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen.slice(0, 5)).toEqual(made.reverse());
    expect(seen.at(-1)).toBe("admin");
    expect(new Set(seen).size).toBe(seen.length);
    for (const query of ["cursor=nope", "cursor=p1x", "limit=0", "limit=101", "colour=red"])
      expect((await askApi("GET", `/api/v1/accounts?${query}`)).status).toBe(400);
  });

  it("tell of themselves and their keys in their own events, in order and without a key", async () => {
    const account = await createAccount("Told");
    await answerOf(account.ask("POST", `/api/v1/api-keys/${account.keyId}/rotate`, { overlap_seconds: 60 }), 201);
    expect((await account.ask("DELETE", `/api/v1/api-keys/${account.keyId}`)).status).toBe(204);
    const told = await eventsOf(account.id);
    expect(told.map(({ type, seq, actor }) => [type, seq, actor])).toEqual([
      ["account.created", 1, "admin"],
      ["api_key.created", 2, "admin"],
      ["api_key.rotated", 3, `key:${account.keyId}`],
      ["api_key.revoked", 4, `key:${account.keyId}`],
    ]);
    expect(told[1]?.data).toEqual({
      key_id: account.keyId,
      name: "Told's key",
      prefix: account.key.slice(0, 14),
      scopes: ["streams:read", "streams:write", "keys:write"],
      expires_at: null,
    });
    expect(told[2]?.data).toMatchObject({ replaces: account.keyId, old_expires_at: expect.any(String) });
    expect(JSON.stringify(told)).not.toContain(account.key);
    for (const event of told) expect(event).toMatchObject({ account_id: account.id, stream_id: null, request_id: expect.any(String) });
  });
});

/** An account's events, wherever they have got to: the outbox, or the record. */
async function eventsOf(accountId: string): Promise<AuditEvent[]> {
  let told: AuditEvent[] = [];
  await expect
    .poll(async () => {
      const { results } = await env.DB.prepare(
        `SELECT json_object('type', type, 'seq', seq, 'actor', actor, 'account_id', account_id, 'stream_id', stream_id, 'request_id', request_id,
           'data', json(data)) AS event FROM events WHERE account_id = ?1
         UNION SELECT json_remove(event, '$.id', '$.occurred_at', '$.aggregate') FROM outbox WHERE event ->> 'account_id' = ?1`,
      )
        .bind(accountId)
        .all<{ event: string }>();
      const bySeq = new Map(results.map(({ event }) => JSON.parse(event) as AuditEvent).map((event) => [event.seq, event]));
      told = [...bySeq.values()].sort((a, b) => a.seq - b.seq);
      return told.length;
    })
    .toBe(4);
  return told;
}
