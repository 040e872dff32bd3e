import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { StreamKeyResource } from "../../domain/protocol/api/stream-keys.ts";
import { askWorker } from "./account.ts";
import { ask, askApi, createStream, OriginCalls } from "./edge.ts";
import { meddledDatabase } from "./meddled-database.ts";

type NewKey = StreamKeyResource & { stream_key: string };

async function addKey(stream: string, body: object = { label: "Second" }): Promise<NewKey> {
  const answer = await askApi("POST", `/api/v1/streams/${stream}/keys`, body);
  if (answer.status !== 201) throw new Error(`add key: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function listKeys(stream: string): Promise<StreamKeyResource[]> {
  return ((await (await askApi("GET", `/api/v1/streams/${stream}/keys`)).json()) as { keys: StreamKeyResource[] }).keys;
}

/** A POST of the administrator in whose middle something else happens. */
function postMeddled(path: string, body: object, meddle: () => Promise<unknown>): Promise<Response> {
  const headers = { Authorization: "Bearer test-admin-key" };
  return askWorker({ DB: meddledDatabase(meddle) }, path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function refusalOf(answer: Promise<Response>): Promise<[number, string]> {
  const { status, body } = { status: (await answer).status, body: (await (await answer).json()) as { error: string } };
  return [status, body.error];
}

describe("stream keys", () => {
  it("several open one stream, each known by its label, none ever shown again", async () => {
    const { id, stream_key } = await createStream();
    const second = await addKey(id, { label: "Camera 2" });
    expect(second).toMatchObject({ label: "Camera 2", status: "valid", last_used_at: null, expires_at: null });
    expect(second.stream_key).toMatch(/^nova_[0-9a-z]{32}$/);
    expect(second.stream_key.startsWith(second.prefix)).toBe(true);
    const first = await OriginCalls.publish(stream_key);
    await first.end("unpublished");
    await OriginCalls.publish(second.stream_key);
    const keys = await listKeys(id);
    expect(keys.map(({ label }) => label)).toEqual(["Camera 2", "default"]);
    const text = JSON.stringify(keys);
    expect(text).not.toContain(second.stream_key);
    expect(text).not.toContain("digest");
    const { results } = await env.DB.prepare("SELECT * FROM stream_keys WHERE stream_id = ?").bind(id).all();
    expect(JSON.stringify(results)).not.toContain(second.stream_key);
  });

  it("remember when and from where they were used", async () => {
    const { id, stream_key } = await createStream();
    const answer = await ask("/origin/v1/publish", {
      method: "POST",
      headers: { Authorization: "Bearer test-origin-token" },
      body: JSON.stringify({ stream_key, origin_id: "origin-1", encoder: { software: "test", address: "203.0.113.9" } }),
    });
    expect(answer.status).toBe(200);
    await expect
      .poll(async () => (await listKeys(id))[0])
      .toMatchObject({
        last_used_at: expect.any(String),
        last_used_from: "203.0.113.9",
      });
  });

  it("once revoked, cut a live encoder off, and let another key go on with the broadcast", async () => {
    const { id, stream_key } = await createStream();
    const other = await addKey(id);
    const live = await OriginCalls.publish(stream_key);
    await live.begin();
    await live.pushSegments(1, 1);
    const [, own] = await listKeys(id);
    expect((await askApi("DELETE", `/api/v1/streams/${id}/keys/${other.id}`)).status).toBe(204);
    expect((await live.heartbeat()).status).toBe(200);
    const third = await addKey(id);
    expect((await askApi("DELETE", `/api/v1/streams/${id}/keys/${own?.id}`)).status).toBe(204);
    const cut = await live.heartbeat();
    expect(cut.status).toBe(409);
    expect(await cut.json()).toMatchObject({ error: "fenced", message: expect.stringContaining("revoked") });
    expect((await live.part("source", 2, 0)).status).toBe(409);
    expect(await (await askApi("GET", `/api/v1/streams/${id}`)).json()).toMatchObject({ status: "reconnecting", broadcast: 1 });
    expect(await refusalOf(OriginCalls.publishRaw(stream_key))).toEqual([403, "key_revoked"]);
    const next = await OriginCalls.publish(third.stream_key);
    await next.begin();
    expect(await (await askApi("GET", `/api/v1/streams/${id}`)).json()).toMatchObject({ status: "active", broadcast: 1 });
    expect(await refusalOf(askApi("DELETE", `/api/v1/streams/${id}/keys/${own?.id}`))).toEqual([409, "already_revoked"]);
    expect((await next.heartbeat()).status).toBe(200);
  });

  it("rotate with an overlap, and at once without one", async () => {
    const { id, stream_key } = await createStream();
    const [first] = await listKeys(id);
    const answer = await askApi("POST", `/api/v1/streams/${id}/keys/${first?.id}/rotate`, { overlap_seconds: 600 });
    expect(answer.status).toBe(201);
    const next = (await answer.json()) as NewKey;
    expect(next).toMatchObject({ label: "default", status: "valid" });
    const old = await OriginCalls.publish(stream_key);
    await old.end("unpublished");
    const expiresAt = Date.parse((await listKeys(id)).find((key) => key.id === first?.id)?.expires_at ?? "");
    expect(expiresAt - Date.now()).toBeGreaterThan(590_000);
    expect(expiresAt - Date.now()).toBeLessThan(601_000);
    await env.DB.prepare("UPDATE stream_keys SET expires_at = ? WHERE id = ?")
      .bind(Date.now() - 1, first?.id)
      .run();
    expect(await refusalOf(OriginCalls.publishRaw(stream_key))).toEqual([403, "key_expired"]);
    expect((await listKeys(id)).map(({ status }) => status)).toEqual(["valid", "expired"]);
    const last = (await (await askApi("POST", `/api/v1/streams/${id}/keys/${next.id}/rotate`, { overlap_seconds: 0 })).json()) as NewKey;
    expect(await refusalOf(OriginCalls.publishRaw(next.stream_key))).toEqual([403, "key_expired"]);
    expect((await OriginCalls.publishRaw(last.stream_key)).status).toBe(200);
    await askApi("DELETE", `/api/v1/streams/${id}/keys/${last.id}`);
    expect(await refusalOf(askApi("POST", `/api/v1/streams/${id}/keys/${last.id}/rotate`, {}))).toEqual([409, "already_revoked"]);
  });

  it("rotate once, however many ask together", async () => {
    const { id, stream_key } = await createStream();
    const [first] = await listKeys(id);
    const path = `/api/v1/streams/${id}/keys/${first?.id}/rotate`;
    const answers = await Promise.all(Array.from({ length: 20 }, () => askApi("POST", path, { overlap_seconds: 0 })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
    const bodies = await Promise.all(answers.map((answer) => answer.json<NewKey & { error?: string }>()));
    expect(new Set(bodies.map(({ error }) => error))).toEqual(new Set([undefined, "already_rotated"]));
    const next = bodies.find(({ error }) => error === undefined) as NewKey;
    expect((await listKeys(id)).map((key) => [key.id, key.status, key.replaced_by]).sort()).toEqual(
      [
        [next.id, "valid", null],
        [first?.id, "expired", next.id],
      ].sort(),
    );
    expect(await refusalOf(OriginCalls.publishRaw(stream_key))).toEqual([403, "key_expired"]);
    expect(await refusalOf(askApi("POST", path, {}))).toEqual([409, "already_rotated"]);
    // Still valid beside its successor, it has one.
    const again = `/api/v1/streams/${id}/keys/${next.id}/rotate`;
    expect((await askApi("POST", again, { overlap_seconds: 600 })).status).toBe(201);
    expect(await refusalOf(askApi("POST", again, { overlap_seconds: 600 }))).toEqual([409, "already_rotated"]);
  });

  it("are not rotated once expired or revoked, also where that happens meanwhile", async () => {
    const { id } = await createStream();
    const [expired, revoked] = [await addKey(id), await addKey(id)];
    const path = (key: NewKey) => `/api/v1/streams/${id}/keys/${key.id}/rotate`;
    const expire = () => env.DB.prepare("UPDATE stream_keys SET expires_at = 1 WHERE id = ?").bind(expired.id).run();
    const revoke = () => env.DB.prepare("UPDATE stream_keys SET revoked_at = 1 WHERE id = ?").bind(revoked.id).run();
    expect(await refusalOf(postMeddled(path(expired), {}, expire))).toEqual([409, "key_expired"]);
    expect(await refusalOf(askApi("POST", path(expired), {}))).toEqual([409, "key_expired"]);
    expect(await refusalOf(postMeddled(path(revoked), {}, revoke))).toEqual([409, "already_revoked"]);
    expect(await refusalOf(askApi("POST", path(revoked), {}))).toEqual([409, "already_revoked"]);
    expect((await listKeys(id)).length).toBe(3);
  });

  it("are not added to, or rotated in, a stream that is deleted meanwhile", async () => {
    for (const route of ["add", "rotate"]) {
      const { id } = await createStream();
      const [first] = await listKeys(id);
      const path = `/api/v1/streams/${id}/keys${route === "add" ? "" : `/${first?.id}/rotate`}`;
      const remove = () => askApi("DELETE", `/api/v1/streams/${id}`);
      expect(await refusalOf(postMeddled(path, route === "add" ? { label: "x" } : {}, remove))).toEqual([410, "stream_deleted"]);
      expect((await listKeys(id)).map(({ status }) => status)).toEqual(["revoked"]);
    }
  });

  it("say what is wrong", async () => {
    const { id } = await createStream();
    const other = await createStream();
    const [foreign] = await listKeys(other.id);
    const path = `/api/v1/streams/${id}/keys`;
    for (const body of [
      {},
      { label: " " },
      { label: "x".repeat(65) },
      { label: "x", expires_at: "2001-01-01T00:00:00Z" },
      { label: "x", expires_at: "2101-01-01T00:00:00Z" },
      { label: "x", key: "y" },
    ]) {
      expect(await refusalOf(askApi("POST", path, body))).toEqual([400, "invalid_request"]);
    }
    expect(await refusalOf(askApi("DELETE", `${path}/${foreign?.id}`))).toEqual([404, "key_not_found"]);
    expect(await refusalOf(askApi("POST", `${path}/nope/rotate`, {}))).toEqual([404, "key_not_found"]);
    for (let i = 1; i < 20; i++) await addKey(id, { label: `key ${i}` });
    expect(await refusalOf(askApi("POST", path, { label: "one more" }))).toEqual([409, "too_many_keys"]);
    await askApi("DELETE", `/api/v1/streams/${id}`);
    expect(await refusalOf(askApi("POST", path, { label: "x" }))).toEqual([410, "stream_deleted"]);
    expect((await listKeys(id)).every(({ status }) => status === "revoked")).toBe(true);
  });
});
