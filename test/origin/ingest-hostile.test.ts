import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RtmpClient } from "../fakes/rtmp/client.ts";
import { type FlvTag, recordFlvTags } from "../fakes/rtmp/flv-tags.ts";
import { eventually, type RunningIngest, startIngest } from "../fakes/rtmp/ingest-fixture.ts";
import { misbehaviours } from "../fakes/rtmp/malformed.ts";
import { createRandom, encodeSession, mutate } from "../fakes/rtmp/mutation.ts";

let tags: FlvTag[];
beforeAll(async () => {
  tags = await recordFlvTags(1);
}, 20_000);

describe("while a good encoder is live", () => {
  let running: RunningIngest;
  let pid: number | null;
  let good: RtmpClient;
  let sent: FlvTag[] = [];
  let pump: NodeJS.Timeout;

  beforeAll(async () => {
    running = await startIngest({ handshakeMs: 1_000, publishMs: 1_500, idleMs: 1_500 });
    pid = running.ingest.pid;
    good = await RtmpClient.connected(running.port);
    await good.publish("good");
    pump = setInterval(() => {
      const tag = { ...(tags[sent.length % tags.length] as FlvTag), timestamp: sent.length * 20 };
      good.sendTag(tag);
      sent = [...sent, tag];
    }, 10);
  });

  afterEach(() => {
    expect(running.ingest.pid).toBe(pid);
  });

  afterAll(async () => {
    clearInterval(pump);
    await running.ingest.stop();
  });

  it.for(Object.entries(misbehaviours))("%s ends that connection only", async ([, misbehave]) => {
    const client = await misbehave(running.port);
    await client.closed;
    expect(client.statuses.filter(({ code }) => code === "NetStream.Publish.Start").length).toBeLessThanOrEqual(1);
    const misbehaving = running.publications.filter(({ streamKey }) => streamKey !== "good");
    for (const publication of misbehaving) expect((await publication.ended).reason).toBe("connection_lost");
    expect(misbehaving.flatMap((publication) => running.tags(publication))).toEqual([]);
  });

  it("survives hundreds of mutated sessions", { timeout: 25_000 }, async () => {
    const random = createRandom(20_261_121);
    const session = encodeSession("mutated", tags.slice(0, 12));
    for (let round = 0; round < 25; round++) {
      const clients = await Promise.all(Array.from({ length: 16 }, () => RtmpClient.open(running.port)));
      // Most faults go behind the handshake, whose content hardly matters.
      for (const client of clients) client.raw(mutate(session, random() < 0.1 ? 0 : 3073, random));
      await delay(100);
      for (const client of clients) client.destroy();
      expect(running.ingest.pid).toBe(pid);
    }
    // The unharmed session passes, so the mutated ones came past the door too.
    expect(running.publications.filter(({ streamKey }) => streamKey === "mutated").length).toBeGreaterThan(50);
    expect(residentMemory(pid ?? 0)).toBeLessThan(400 * 1024 * 1024);
  });

  it("delivered all that the good encoder sent, and nothing else", async () => {
    clearInterval(pump);
    good.unpublish("good");
    const publication = await running.publication("good");
    expect((await publication.ended).reason).toBe("unpublished");
    await eventually(() => publication.media.readableEnded);
    const received = running.tags(publication);
    expect(received.length).toBe(sent.length);
    expect(received).toEqual(sent);
    expect(running.log).toEqual([]);
  });
});

describe("connections", () => {
  it("are cut when the handshake or the publish takes too long", async () => {
    const running = await startIngest({ handshakeMs: 300, publishMs: 600 });
    const openedAt = performance.now();
    const silent = await RtmpClient.open(running.port);
    const slow = await RtmpClient.open(running.port);
    const trickle = setInterval(() => slow.raw(Buffer.from([3])), 20);
    const undecided = await RtmpClient.connected(running.port);
    await Promise.all([silent.closed, slow.closed]);
    expect(performance.now() - openedAt).toBeLessThan(600);
    clearInterval(trickle);
    await undecided.closed;
    expect(performance.now() - openedAt).toBeGreaterThan(590);
    await running.ingest.stop();
  });

  it("are capped per address, and a closed one makes room", async () => {
    const running = await startIngest({ connectionsPerAddress: 3 });
    const first = await RtmpClient.shaken(running.port);
    const second = await RtmpClient.shaken(running.port);
    const third = await RtmpClient.shaken(running.port);
    await expect(RtmpClient.shaken(running.port)).rejects.toThrow();
    first.destroy();
    await delay(50);
    const fourth = await RtmpClient.connected(running.port);
    expect(await fourth.publish("room")).toMatchObject({ code: "NetStream.Publish.Start" });
    for (const client of [second, third, fourth]) client.destroy();
    await running.ingest.stop();
  });

  it("are capped in all", async () => {
    const running = await startIngest({ connections: 1 });
    const first = await RtmpClient.shaken(running.port);
    await expect(RtmpClient.shaken(running.port)).rejects.toThrow();
    first.destroy();
    await running.ingest.stop();
  });
});

/** Bytes. */
function residentMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}
