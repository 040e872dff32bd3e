import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { assertContiguous, join } from "./audience.ts";
import { ask, askApi, createStream, liveStreamOf, OriginCalls, TRACKS, textOf } from "./edge.ts";

const BACKUP = { origin_id: "origin-2", backup: true };

function askTurn(stream: string, ticket: string, originId = "origin-2"): Promise<Response> {
  return ask(`/origin/v1/${stream}/standby`, {
    method: "POST",
    headers: { Authorization: "Bearer test-origin-token" },
    body: JSON.stringify({ ticket, origin_id: originId }),
  });
}

/** A live primary with three segments, and a backup that waits. */
async function standingBy(fields = {}) {
  const stream = await createStream(fields);
  const viewer = await join(stream.id, "viewer-0001");
  const primary = await OriginCalls.publish(stream.stream_key);
  await primary.begin();
  await primary.pushSegments(1, 3);
  const answer = await OriginCalls.publishRaw(stream.stream_key, "test-origin-token", BACKUP);
  expect(answer.status).toBe(202);
  const { ticket, ...rest } = (await answer.json()) as { ticket: string };
  expect(rest).toEqual({ standby: true, stream_id: stream.id });
  return { ...stream, viewer, primary, ticket };
}

/** Asks each half second until the turn has come. */
async function untilTurn(stream: string, ticket: string): Promise<OriginCalls> {
  for (;;) {
    const answer = await askTurn(stream, ticket);
    if (answer.status === 200) return new OriginCalls(await answer.json());
    expect([answer.status, await answer.json()]).toEqual([202, { standby: true, stream_id: stream, ticket }]);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

describe("a backup", () => {
  it("publishes at once where nobody is live, and makes way for the primary", async () => {
    const { id, stream_key } = await createStream();
    const answer = await OriginCalls.publishRaw(stream_key, "test-origin-token", BACKUP);
    expect(answer.status).toBe(200);
    const backup = new OriginCalls(await answer.json());
    await backup.begin();
    await backup.pushSegments(1, 1);
    const primary = await OriginCalls.publish(stream_key);
    expect(primary.publication).toMatchObject({ broadcast: 1, epoch: 2, next_msn: 2 });
    const fenced = await backup.part("source", 2, 0);
    expect([fenced.status, await fenced.json()]).toMatchObject([409, { error: "fenced" }]);
    await primary.begin();
    await primary.pushSegments(2, 2);
    expect(await textOf(await ask(`/hls/${id}/source/index.m3u8`))).toContain("2-2.m4s");
    expect((await OriginCalls.publishRaw(stream_key)).status).toBe(409);
  });

  it("takes over within moments of the primary's silence, in the same broadcast, and no end is heard of", async () => {
    const { id, viewer, primary, ticket } = await standingBy();
    const silentFrom = performance.now();
    const hello = setInterval(() => void primary.heartbeat(), 500);
    const backup = await untilTurn(id, ticket);
    clearInterval(hello);
    expect(performance.now() - silentFrom).toBeGreaterThan(1_500);
    expect(backup.publication).toMatchObject({ broadcast: 1, epoch: 2, next_msn: 4, declared: { target_duration: 2 } });
    expect((await primary.heartbeat()).status).toBe(409);
    await backup.begin({ ...TRACKS, reason: "backup" });
    await backup.pushSegments(4, 4);
    const text = await textOf(await ask(`/hls/${id}/source/index.m3u8`));
    expect(text).toMatch(/1-3\.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=".*init-2\.mp4"\n/);
    expect(text).toContain("2-4.m4s");
    expect(viewer.frames.map(({ event }) => event).filter((event) => event.startsWith("stream_"))).toEqual(["stream_started"]);
    assertContiguous(viewer.frames);
  });

  it("goes on where the primary ends cleanly, and its own end is the end", async () => {
    const { id, viewer, primary, ticket } = await standingBy({ reconnect_window_seconds: 0 });
    await primary.end("unpublished");
    await expect.poll(() => viewer.last("stream_reconnecting")?.data.reason).toBe("primary_ended");
    const backup = await untilTurn(id, ticket);
    expect(backup.publication).toMatchObject({ broadcast: 1, epoch: 2 });
    await backup.begin();
    expect((await liveStreamOf(id).facts()).status).toBe("active");
    await backup.end("unpublished");
    expect((await liveStreamOf(id).facts()).status).toBe("completed");
  });

  it("is still known after an eviction; a made-up ticket, or another origin's, is not", async () => {
    const { id, ticket } = await standingBy();
    await evictDurableObject(liveStreamOf(id));
    for (const [given, origin] of [["made-up", "origin-2"] as const, [ticket, "origin-3"] as const]) {
      const answer = await askTurn(id, given, origin);
      expect([answer.status, await answer.json()]).toMatchObject([409, { error: "standby_expired" }]);
    }
    const other = await standingBy();
    expect((await askTurn(id, other.ticket)).status).toBe(409);
    expect((await askTurn(id, ticket)).status).toBe(202);
  });

  it("is refused with a revoked key, for a deleted stream, and without a token", async () => {
    const { id, stream_key, ticket } = await standingBy();
    const keys = (await (await askApi("GET", `/api/v1/streams/${id}/keys`)).json()) as { keys: { id: string }[] };
    expect((await askTurn(id, ticket)).status).toBe(202);
    expect((await askApi("DELETE", `/api/v1/streams/${id}/keys/${keys.keys[0]?.id}`)).ok).toBe(true);
    expect((await askTurn(id, ticket)).status).toBe(409);
    expect((await OriginCalls.publishRaw(stream_key, "test-origin-token", BACKUP)).status).toBe(403);

    const gone = await standingBy();
    expect((await askApi("DELETE", `/api/v1/streams/${gone.id}`)).status).toBe(204);
    const answer = await askTurn(gone.id, gone.ticket);
    expect([answer.status, await answer.json()]).toMatchObject([403, { error: "stream_ended" }]);
    expect((await ask(`/origin/v1/${id}/standby`, { method: "POST", body: "{}" })).status).toBe(401);
  });
});
