import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { assertContiguous, join, joinMany } from "./audience.ts";
import { createStream, liveStreamOf, OriginCalls } from "./edge.ts";

function shardOf(stream: string, number: number) {
  return env.SHARDS.get(env.SHARDS.idFromName(`${stream}/${number}`));
}

describe("an audience that is larger than one object", () => {
  it("goes on to shards, is counted exactly, and hears every event", async () => {
    const { id, stream_key } = await createStream();
    const viewers = await joinMany(id, 60);
    await expect.poll(async () => (await liveStreamOf(id).facts()).viewers, { timeout: 5000 }).toEqual({ connected: 60, sockets: 60, pull: 0 });
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
});
