import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RtmpClient } from "../fakes/rtmp/client.ts";
import { eventually, type RunningIngest, startIngest } from "../fakes/rtmp/ingest-fixture.ts";

const clients: RtmpClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});

async function publish(port: number, key: string): Promise<RtmpClient> {
  const client = await RtmpClient.connected(port);
  clients.push(client);
  const status = await client.publish(key);
  expect(status).toMatchObject({ code: "NetStream.Publish.Start" });
  return client;
}

/** A publisher that sends a small frame each 20 ms until the signal. */
function sendFrames(client: RtmpClient, signal: AbortSignal): Promise<void> {
  return client.sendPaced([{ type: 9, timestamp: 0, data: Buffer.alloc(50, 1) }], signal);
}

/** How many TCP sockets each process has open, without its listening ones. */
function openConnections(pid: number): number {
  const table = readFileSync(`/proc/${pid}/net/tcp`, "utf8");
  // The namespace's table: only the process's own descriptors count.
  const inodes = new Set(table.split("\n").flatMap((line) => (line.trim().split(/\s+/)[3] === "01" ? [line.trim().split(/\s+/)[9]] : [])));
  return socketInodes(pid).filter((inode) => inodes.has(inode)).length;
}

function socketInodes(pid: number): string[] {
  const descriptors = readdirSync(`/proc/${pid}/fd`).map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
  return descriptors.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []);
}

function residentMegabytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

describe("two ingest processes", () => {
  let running: RunningIngest;
  beforeAll(async () => {
    running = await startIngest({ connectionsPerAddress: 120, handshakeMs: 1_000, idleMs: 3_000 }, undefined, { processes: 2 });
  });
  afterAll(() => running.ingest.stop());

  it("share a hundred publishes evenly, on one port", async () => {
    expect(running.ingest.pids).toHaveLength(2);
    await Promise.all(Array.from({ length: 100 }, (_, index) => publish(running.port, `spread-${index}`)));
    const [first = 0, second = 0] = running.ingest.pids.map(openConnections);
    expect(first + second).toBe(100);
    expect(Math.abs(first - second)).toBeLessThanOrEqual(2);
  });

  it("die alone: the encoders of the other notice nothing, and those that come are taken", async () => {
    const stop = new AbortController();
    const pair = [await publish(running.port, "one"), await publish(running.port, "other")];
    const sending = pair.map((client) => sendFrames(client, stop.signal));
    const publications = await Promise.all(["one", "other"].map((key) => running.publication(key)));
    const [victim = 0, survivor = 0] = running.ingest.pids;
    process.kill(victim, "SIGKILL");
    const lost = await Promise.race(publications.map(async (publication) => ({ publication, end: await publication.ended })));
    expect(lost.end.reason).toBe("ingest_lost");
    const surviving = publications.find((publication) => publication !== lost.publication);
    const before = surviving ? running.tags(surviving).length : 0;

    // At once, while there is one process.
    await publish(running.port, "newcomer");
    await eventually(() => running.ingest.pids.length === 2 && running.log.some((line) => line.startsWith("ingest process is back")));
    await eventually(() => surviving && running.tags(surviving).length > before + 5);
    expect(running.ingest.pids).toContain(survivor);
    stop.abort();
    await Promise.all(sending);
    const tags = surviving ? running.tags(surviving) : [];
    const gaps = tags.map(({ timestamp }, index) => timestamp - (tags[index - 1]?.timestamp ?? timestamp));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(20);
  });

  it("count an address's connections together, and forget those that are gone", async () => {
    const open: RtmpClient[] = [];
    for (let count = 0; count < 120; count++) open.push(await RtmpClient.shaken(running.port));
    await expect(RtmpClient.shaken(running.port)).rejects.toThrow();
    for (const client of open) client.destroy();
    await delay(100);
    await publish(running.port, "room");
  });

  it("stay up under 2,000 connections from one address, while a publish goes on", { timeout: 20_000 }, async () => {
    const stop = new AbortController();
    const good = await publish(running.port, "undisturbed");
    const sending = sendFrames(good, stop.signal);
    const pids = running.ingest.pids;
    for (let round = 0; round < 10; round++) {
      // Half of them say something and then nothing; none leaves of itself.
      const flood = await Promise.all(Array.from({ length: 200 }, () => RtmpClient.open(running.port)));
      clients.push(...flood);
      flood.forEach((client, index) => void (index % 2 === 0 && client.raw(Buffer.alloc(700, 3))));
      if (round % 5 === 4) await delay(200);
    }
    await delay(1_200);
    // All but the publisher: turned away, or too slow with their handshake.
    await Promise.all(clients.filter((client) => client !== good).map((client) => client.closed));
    expect(running.ingest.pids).toEqual(pids);
    stop.abort();
    await sending;
    good.unpublish("undisturbed");
    const publication = await running.publication("undisturbed");
    expect((await publication.ended).reason).toBe("unpublished");
    const timestamps = running.tags(publication).map(({ timestamp }) => timestamp);
    expect(timestamps).toEqual(timestamps.map((_, index) => index * 20));
    expect(timestamps.length).toBeGreaterThan(50);
    for (const pid of running.ingest.pids) expect(residentMegabytes(pid)).toBeLessThan(150);
  });
});

it("an encoder that comes while no process lives is taken when one is back", { timeout: 15_000 }, async () => {
  const running = await startIngest();
  const [pid = 0] = running.ingest.pids;
  process.kill(pid, "SIGKILL");
  await eventually(() => running.ingest.pids.length === 0);
  await publish(running.port, "patient");
  expect((await running.publication("patient")).remoteAddress).toBe("127.0.0.1");
  await running.ingest.stop();
});

it("an encoder handed to a process that hangs goes to another", { timeout: 15_000 }, async () => {
  const running = await startIngest({ processSilenceMs: 1_000 }, undefined, { processes: 2 });
  const [pid = 0] = running.ingest.pids;
  process.kill(pid, "SIGSTOP");
  await Promise.all(["a", "b", "c"].map((key) => publish(running.port, key)));
  expect(running.log.some((line) => line.startsWith("ingest process died"))).toBe(true);
  await running.ingest.stop();
});
