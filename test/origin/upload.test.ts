import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { announce, numbers, pushSegment, startUploadRig, type UploadRig } from "./upload-rig.ts";

let rig: UploadRig;
afterEach(() => rig.stop());

const until = { timeout: 10_000, interval: 20 };
const isSegment = (path: string) => /\/\d+\?/.test(path) && path.includes("pdt=");
const said = (message: string) => rig.lines.filter((line) => line.message.includes(message));

describe("an uploader", () => {
  it("sends tracks first, then inits, parts in order, each segment after its parts, and says how long it took", async () => {
    rig = await startUploadRig();
    const uploaded: string[] = [];
    const uploader = rig.uploader({ onUploaded: (what, seconds) => uploaded.push(`${what} ${seconds >= 0 && seconds < 5}`) });
    rig.server.answer = (_, path) => ({ status: 200, json: {}, delayMs: path.includes("/0?") ? 30 : 0 });
    announce(uploader);
    uploader.init("source", Buffer.from("init"));
    const digests = [1, 2].map((msn) => pushSegment(uploader, "source", msn, 40_000));
    await uploader.drain(5000);
    const { calls } = rig.server;
    expect(calls[0]?.path).toBe("/stream/1/tracks");
    expect(calls[1]?.path).toBe("/stream/1/source/init.mp4");
    expect(rig.server.media("source", "segments")).toEqual(["1", "2"]);
    expect(calls.filter(({ path }) => isSegment(path)).map(({ sha256 }) => sha256)).toEqual(digests);
    expect(rig.server.media("source", "parts").slice(0, 4)).toEqual(["1/0", "1/1", "1/2", "1/3"]);
    const indexOf = (path: string) => calls.findIndex((call) => call.path.startsWith(path));
    expect(indexOf("/stream/1/source/1?")).toBeGreaterThan(indexOf("/stream/1/source/1/3?"));
    expect(uploaded.filter((line) => line === "segment true")).toHaveLength(2);
    expect(uploaded.filter((line) => line === "part true").length).toBeGreaterThanOrEqual(4);
    expect(uploader.status()).toEqual({ waitingBytes: 0, spooledBytes: 0, gaps: 0 });
    expect(rig.spool.memoryUsed).toBe(0);
  });

  it("[PL12] says in its turn that there is no segment of a number", async () => {
    rig = await startUploadRig();
    const gaps: string[] = [];
    const uploader = rig.uploader({ onGap: (rendition, msn) => gaps.push(`${rendition} ${msn}`) });
    announce(uploader);
    pushSegment(uploader, "source", 1, 4000);
    uploader.gap("source", 2, 3.5, 1_700_000_004_000);
    pushSegment(uploader, "source", 3, 4000);
    await uploader.drain(5000);
    expect(rig.server.media("source", "segments")).toEqual(["1", "2 gap", "3"]);
    expect(rig.server.calls.find(({ path }) => path.includes("gap=1"))?.path).toContain(
      "/source/2?duration=2.000000&pdt=1700000004000&gap=1",
    );
    expect(gaps).toEqual(["source 2"]);
    expect(uploader.status().gaps).toBe(1);
  });

  it("[PL12] a segment that the edge refuses becomes a gap, and those after it go on", async () => {
    rig = await startUploadRig();
    rig.server.answer = (_, path) =>
      isSegment(path) && path.includes("/source/2?") && !path.includes("gap=1")
        ? { status: 422, json: { error: "segment_too_long", message: "too long" } }
        : { status: 200, json: {} };
    const uploader = rig.uploader();
    announce(uploader);
    for (const msn of [1, 2, 3]) pushSegment(uploader, "source", msn, 4000);
    await uploader.drain(5000);
    expect(rig.server.media("source", "segments")).toEqual(["1", "2 gap", "3"]);
    expect(uploader.status().gaps).toBe(1);
  });

  it("stops when it is fenced, says so once, and frees what it held", async () => {
    rig = await startUploadRig();
    rig.server.answer = (_, path) =>
      path.endsWith("/tracks") ? { status: 204 } : { status: 409, json: { error: "fenced", message: "no lease" } };
    const refused: string[] = [];
    const uploader = rig.uploader({ onRefused: (message) => refused.push(message) });
    announce(uploader);
    for (const msn of [1, 2, 3]) for (const rendition of ["source", "audio"]) pushSegment(uploader, rendition, msn, 4000);
    await expect.poll(() => refused, until).toEqual(["no lease"]);
    await uploader.drain(5000);
    expect(refused).toHaveLength(1);
    expect(rig.spool.memoryUsed).toBe(0);
    pushSegment(uploader, "source", 4, 4000);
    expect(rig.spool.memoryUsed).toBe(0);
  });

  it("gives up in time where the edge stays away, and frees what it held", async () => {
    rig = await startUploadRig();
    await rig.server.stop();
    const uploader = rig.uploader();
    announce(uploader);
    for (const msn of numbers(1, 5)) pushSegment(uploader, "source", Number(msn), 4000);
    const started = performance.now();
    await uploader.drain(300);
    expect(performance.now() - started).toBeLessThan(3000);
    expect(rig.spool.memoryUsed).toBe(0);
    expect(said("the rest is lost")).toHaveLength(1);
  });

  it("goes on when an answer never comes: other calls do not wait for it, and it is repeated on another connection", async () => {
    rig = await startUploadRig();
    let hung = 0;
    rig.server.answer = (_, path) => {
      if (!path.includes("/source/1?")) return { status: 200, json: {} };
      hung += 1;
      return hung === 1 ? null : { status: 200, json: {} };
    };
    const uploader = rig.uploader();
    announce(uploader);
    for (const rendition of ["source", "audio"]) for (const msn of [1, 2]) pushSegment(uploader, rendition, msn, 4000);
    await expect.poll(() => rig.server.media("audio", "segments"), until).toEqual(["1", "2"]);
    expect(rig.server.media("source", "segments")).toEqual([]);
    expect(hung).toBe(1);
    await uploader.drain(15_000);
    expect(rig.server.media("source", "segments")).toEqual(["1", "2"]);
    // The edge answered others meanwhile, so nobody took it for away.
    expect(rig.server.probes).toBe(0);
    expect(said("the edge is away")).toEqual([]);
  });

  it("writes no lease and no token into the log, whatever fails", async () => {
    rig = await startUploadRig();
    const uploader = rig.uploader();
    announce(uploader);
    await expect.poll(() => rig.server.calls.length, until).toBe(1);
    await rig.server.stop();
    pushSegment(uploader, "source", 1, 4000);
    await expect.poll(() => said("the edge is away").length, until).toBe(1);
    await uploader.drain(100);
    expect(JSON.stringify(rig.lines)).not.toContain("secret");
  });
});

describe("an edge that is away", () => {
  it("is asked by one probe only, said once, and gets everything in order when it returns", async () => {
    rig = await startUploadRig({ memoryBytes: 8 << 20 });
    const { server, spool, directory } = rig;
    const uploader = rig.uploader();
    announce(uploader);
    // 6 Mbit/s: 1.5 MB each two seconds, and a sound.
    const digests = new Map<string, string[]>([
      ["source", []],
      ["audio", []],
    ]);
    const push = (msn: number) => {
      digests.get("source")?.push(pushSegment(uploader, "source", msn, 1_500_000));
      digests.get("audio")?.push(pushSegment(uploader, "audio", msn, 32_000));
    };
    push(1);
    await expect.poll(() => server.media("source", "segments").length + server.media("audio", "segments").length, until).toBe(2);
    await server.stop();
    const seen = server.seen.length;
    // Half a minute of the stream, in three seconds.
    for (let msn = 2; msn <= 16; msn++) {
      push(msn);
      await sleep(200);
      expect(spool.memoryUsed).toBeLessThanOrEqual(8 << 20);
    }
    await expect(rig.edge.call({ stream: "s", epoch: 1, lease: "l" }, "POST", "/heartbeat", {})).rejects.toThrow("does not answer");
    expect(rig.edge.health.awaySeconds).toBeGreaterThan(2);
    await expect.poll(() => uploader.status().spooledBytes, until).toBeGreaterThan(15_000_000);
    expect(readdirSync(join(directory, "media")).length).toBeGreaterThan(8);
    expect(server.seen.length).toBe(seen);

    await server.start();
    await expect.poll(() => server.seen.length, until).toBeGreaterThan(seen);
    push(17);
    await expect.poll(() => server.media("source", "segments"), until).toEqual(numbers(1, 17));
    await expect.poll(() => server.media("audio", "segments"), until).toEqual(numbers(1, 17));
    for (const [rendition, expected] of digests) {
      const got = server.calls.filter(({ path }) => isSegment(path) && path.includes(`/${rendition}/`)).map(({ sha256 }) => sha256);
      expect(got).toEqual(expected);
    }
    await uploader.drain(5000);
    expect(uploader.status()).toEqual({ waitingBytes: 0, spooledBytes: 0, gaps: 0 });
    await expect.poll(() => [spool.memoryUsed, spool.diskUsed, readdirSync(join(directory, "media")).length], until).toEqual([0, 0, 0]);
    expect(said("the edge is away")).toHaveLength(1);
    expect(said("the edge answers again")).toHaveLength(1);
    expect(rig.lines.length).toBe(2);
  });

  it("drops parts that the live edge has left behind, but sends those of the newest segments", async () => {
    rig = await startUploadRig();
    const { server } = rig;
    const uploader = rig.uploader();
    announce(uploader);
    pushSegment(uploader, "source", 1, 4000);
    await expect.poll(() => server.media("source", "segments"), until).toEqual(["1"]);
    await server.stop();
    for (let msn = 2; msn <= 15; msn++) pushSegment(uploader, "source", msn, 4000);
    uploader.part({ rendition: "source", msn: 16, part: 0, duration: 0.5, independent: true, bytes: Buffer.from("newest") });
    await server.start();
    await expect.poll(() => server.media("source", "parts").at(-1), until).toBe("16/0");
    await uploader.drain(5000);
    const parts = server.media("source", "parts").filter((name) => !name.startsWith("1/"));
    for (const name of parts) expect(Number(name.split("/")[0])).toBeGreaterThan(13);
    expect(server.media("source", "segments")).toEqual(numbers(1, 15));
  });

  it("is not taken for away when it answers 503: each call is repeated for itself", async () => {
    rig = await startUploadRig();
    let refusals = 3;
    rig.server.answer = (_, path) =>
      path.includes("/1?") && refusals-- > 0 ? { status: 503, json: { error: "busy" } } : { status: 200, json: {} };
    const uploader = rig.uploader();
    announce(uploader);
    pushSegment(uploader, "source", 1, 4000);
    await uploader.drain(5000);
    expect(rig.server.media("source", "segments")).toEqual(["1"]);
    expect(rig.lines).toEqual([]);
    expect(rig.server.probes).toBe(0);
  });
});
