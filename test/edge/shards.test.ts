import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { AudienceShard } from "../../durable-objects/audience-shard/audience-shard.ts";
import { LiveStream } from "../../durable-objects/live-stream/live-stream.ts";
import { assertContiguous, join, joinMany } from "./audience.ts";
import { ask, createStream, liveStreamOf, OriginCalls, textOf } from "./edge.ts";

function shardOf(stream: string, number: number) {
  return env.SHARDS.get(env.SHARDS.idFromName(`${stream}/${number}`));
}

describe("an audience that is larger than one object", () => {
  it("goes on to shards, is counted exactly, and hears every event", async () => {
    const { id, stream_key } = await createStream();
    const viewers = await joinMany(id, 60);
    await expect
      .poll(async () => (await liveStreamOf(id).facts()).viewers, { timeout: 5000 })
      .toEqual({ connected: 60, sockets: 60, pull: 0 });
    for (const viewer of [viewers[0], viewers[30], viewers[59]]) await expect.poll(() => viewer?.count(), { timeout: 5000 }).toBe(60);

    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    for (const viewer of viewers) await expect.poll(() => viewer.last("stream_started")?.data.broadcast, { timeout: 5000 }).toBe(1);

    for (const viewer of viewers.splice(10, 30)) viewer.socket.close(1000, "bye");
    await expect.poll(async () => (await liveStreamOf(id).facts()).viewerCount, { timeout: 5000 }).toBe(30);
    for (const viewer of viewers) await expect.poll(() => viewer.count(), { timeout: 5000 }).toBe(30);
    for (const { frames } of viewers) assertContiguous(frames);
  });

  it("counts a viewer once who comes again, to another object", async () => {
    const { id } = await createStream();
    const viewers = await joinMany(id, 40);
    const [first] = viewers;
    // Its first socket is at the stream's own object, its second at a shard.
    const again = await join(id, "viewer-0000");
    await expect.poll(() => first?.closed?.code, { timeout: 5000 }).toSatisfy((code) => code === 4001 || code === 4004);
    await expect.poll(() => again.count(), { timeout: 5000 }).toBe(40);
    expect(again.closed).toBeNull();
    expect((await liveStreamOf(id).facts()).viewerCount).toBe(40);
  });

  it("is counted right when the stream's object, or a shard, has lost its memory", async () => {
    const { id, stream_key } = await createStream();
    const viewers = await joinMany(id, 50);
    await expect.poll(async () => (await liveStreamOf(id).facts()).viewerCount, { timeout: 5000 }).toBe(50);
    await expect.poll(() => viewers[49]?.count(), { timeout: 5000 }).toBe(50);
    await evictDurableObject(liveStreamOf(id));
    expect((await liveStreamOf(id).facts()).viewerCount).toBe(50);
    for (let shard = 0; shard < 4; shard++) await evictDurableObject(shardOf(id, shard));
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    for (const viewer of viewers) await expect.poll(() => viewer.last("stream_started")?.data.broadcast, { timeout: 5000 }).toBe(1);
    viewers[49]?.socket.close(1000);
    await expect.poll(() => viewers[0]?.count(), { timeout: 5000 }).toBe(49);
    await expect.poll(() => viewers[48]?.count(), { timeout: 5000 }).toBe(49);
    for (const { frames } of viewers.slice(0, 49)) assertContiguous(frames);
  });

  it("resumes at a shard where it left off", async () => {
    const { id } = await createStream();
    await joinMany(id, 30);
    const viewer = await join(id, "viewer-0040");
    await expect.poll(() => viewer.count(), { timeout: 5000 }).toBe(31);
    const { instance } = viewer.last("connection_established")?.data ?? {};
    const seq = viewer.frames.at(-1)?.seq ?? 0;
    viewer.socket.close(1000);
    const other = await join(id, "viewer-0041");
    await expect.poll(() => other.count(), { timeout: 5000 }).toBe(31);
    const again = await join(id, "viewer-0040", {}, `&resume=${instance}.${seq}`);
    await expect.poll(() => again.count(), { timeout: 5000 }).toBe(32);
    expect(again.frames[0]).toMatchObject({ event: "connection_established", seq });
    assertContiguous(again.frames);
  });

  it("has no peak that nobody was told, when viewers move from one object to another", async () => {
    const { id } = await createStream();
    const viewers = await joinMany(id, 24);
    await expect.poll(() => viewers[23]?.count(), { timeout: 5000 }).toBe(24);
    const back = await Promise.all([0, 1, 2, 3, 4, 5].map((number) => join(id, `viewer-000${number}`)));
    for (const viewer of back) await expect.poll(() => viewer.count(), { timeout: 5000 }).toBe(24);
    await expect.poll(async () => (await liveStreamOf(id).facts()).viewers.connected, { timeout: 5000 }).toBe(24);
    // A peak is what has held for a second.
    await expect.poll(async () => (await liveStreamOf(id).facts()).peakViewers, { timeout: 5000 }).toBe(24);
  });

  it("is not counted twice when a restart of the stream's object has its viewers come back to the shards", async () => {
    const { id } = await createStream();
    const viewers = await joinMany(id, 30);
    await expect.poll(() => viewers[29]?.count(), { timeout: 5000 }).toBe(30);
    await evictDurableObject(liveStreamOf(id), { webSockets: "close" });
    expect((await liveStreamOf(id).facts()).viewers).toMatchObject({ connected: 10, sockets: 30 });
    await Promise.all(Array.from({ length: 20 }, (_, number) => join(id, `viewer-${String(number).padStart(4, "0")}`)));
    await expect
      .poll(async () => (await liveStreamOf(id).facts()).viewers, { timeout: 5000 })
      .toEqual({ connected: 30, sockets: 30, pull: 0 });
    await expect.poll(async () => (await liveStreamOf(id).facts()).peakViewers, { timeout: 5000 }).toBe(30);
    const stays = await liveStreamOf(id).viewerSessions({ cursor: null, limit: 100 });
    if (!stays.ok) throw new Error(stays.code);
    expect(new Set(stays.value.sessions.filter(({ left_at }) => left_at === null).map(({ viewer }) => viewer)).size).toBe(30);
  });

  it("hears nothing twice at a shard that had nobody for a while", async () => {
    const { id } = await createStream();
    await joinMany(id, 20);
    const [alone] = await joinMany(id, 1, "lonely");
    await expect.poll(() => alone?.count(), { timeout: 5000 }).toBe(21);
    const { instance } = alone?.last("connection_established")?.data ?? {};
    alone?.socket.close(1000);
    const witness = await join(id, "viewer-0000");
    // Several events pass that the shard is not told.
    for (let i = 0; i < 3; i++) {
      const guest = await join(id, `guest-000${i}`);
      await expect.poll(() => witness.count(), { timeout: 5000 }).toBe(21);
      guest.socket.close(1000);
      await expect.poll(() => witness.count(), { timeout: 5000 }).toBe(20);
    }
    const seq = witness.frames.at(-1)?.seq ?? 0;
    const again = await join(id, "lonely-0000", {}, `&resume=${instance}.${seq}`);
    await expect.poll(() => again.count(), { timeout: 5000 }).toBe(21);
    expect(again.frames[0]?.seq).toBe(seq);
    expect(again.frames.some(({ event }) => event === "gap")).toBe(false);
    assertContiguous(again.frames);
  });

  it("plays through its shards, which ask the stream's own object once for many", async () => {
    const { id, stream_key } = await createStream();
    await joinMany(id, 24);
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.pushSegments(1, 3);
    // The first answer comes from the stream's own object, and tells of the shards.
    const playlist = `/hls/${id}/1/source/index.m3u8`;
    expect((await ask(playlist)).status).toBe(200);
    const asked = vi.spyOn(AudienceShard.prototype, "mediaPlaylist");
    const parts = vi.spyOn(AudienceShard.prototype, "readPart");
    const root = vi.spyOn(LiveStream.prototype, "mediaPlaylist");
    try {
      const answer = await ask(playlist);
      expect(await textOf(answer)).toContain("1-3.m4s");
      expect(asked).toHaveBeenCalledTimes(1);
      expect((await ask(`/media/${id}/1/source/1-3.1.m4s`)).status).toBe(200);
      expect(parts).toHaveBeenCalledTimes(1);

      // Many isolates that wait for the same part, at one shard.
      const place = { stream: id, member: 0 };
      const shard = shardOf(id, 0);
      root.mockClear();
      const waiting = Array.from({ length: 20 }, () => shard.mediaPlaylist(place, 1, "source", { msn: 4, part: 0 }, false));
      await expect.poll(() => root.mock.calls.length).toBe(1);
      await origin.part("source", 4, 0);
      for (const held of await Promise.all(waiting)) expect(held.ok && held.value.text).toContain("1-4.0.m4s");
      expect(root).toHaveBeenCalledTimes(1);
      expect(await shard.mediaPlaylist(place, 1, "nothing", { msn: null, part: null }, false)).toMatchObject({ ok: false, status: 404 });
    } finally {
      vi.restoreAllMocks();
    }
  });
});
