import { execFileSync } from "node:child_process";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Encoder, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";
import { playlist as mediaPlaylist, multivariant as multivariantPlaylist, numbersOf, segmentsOf, until } from "./playlists.ts";

let platform: Platform;
let cut: { down(): void; up(): void };
const encoders: Encoder[] = [];

function encode(key: string, options = {}): Encoder {
  const encoder = startEncoder(platform.rtmpPort, key, options);
  encoders.push(encoder);
  return encoder;
}

const playlist = (id: string, rendition = "source") => mediaPlaylist(platform, id, rendition);
const multivariant = (id: string) => multivariantPlaylist(platform, id);

/** A TCP relay before the edge that can be cut, as a network is. */
async function relayTo(site: string): Promise<string> {
  const { hostname, port } = new URL(site);
  const sockets = new Set<Socket>();
  let open = true;
  const server: Server = createServer((near) => {
    if (!open) return near.destroy();
    const far = connect(Number(port), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  cut = {
    down() {
      open = false;
      for (const socket of sockets) socket.destroy();
    },
    up() {
      open = true;
    },
  };
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

beforeAll(async () => {
  platform = await startPlatform({ edgeUrl: relayTo });
});
afterEach(async () => {
  await Promise.all(encoders.splice(0).map((encoder) => encoder.crash()));
});
afterAll(() => platform.stop());

describe("publishing", () => {
  it("refuses a key that is unknown, and one of a deleted stream", async () => {
    const stranger = encode(`nova_${"0".repeat(32)}`);
    expect(await stranger.exited).not.toBe(0);
    const { id, stream_key } = await platform.createStream();
    await platform.deleteStream(id);
    const late = encode(stream_key);
    expect(await late.exited).not.toBe(0);
    expect(platform.origin.pids.transcoders).toEqual([]);
    expect(platform.logs.join("\n")).toContain("this stream key is not known");
  });

  it("lets one encoder in for one key: the second is refused, the first never notices", async () => {
    const { id, stream_key } = await platform.createStream();
    const first = encode(stream_key);
    await expect.poll(async () => segmentsOf(await playlist(id)).length, until).toBeGreaterThan(1);
    const second = encode(stream_key);
    expect(await second.exited).not.toBe(0);
    const before = segmentsOf(await playlist(id)).length;
    await expect.poll(async () => segmentsOf(await playlist(id)).length, until).toBeGreaterThan(before + 1);
    expect(first.running).toBe(true);
    const text = await playlist(id);
    expect(text).not.toContain("#EXT-X-DISCONTINUITY\n");
    expect(await platform.getStream(id)).toMatchObject({ status: "active", broadcast: 1 });
  });

  it("ends within 2 s when the stream is deleted, and stops the encoder", async () => {
    const { id, stream_key } = await platform.createStream();
    const encoder = encode(stream_key);
    await expect.poll(async () => segmentsOf(await playlist(id)).length, until).toBeGreaterThan(0);
    expect((await platform.deleteStream(id)).status).toBe(204);
    await expect.poll(() => playlist(id), { timeout: 2000 }).toContain("#EXT-X-ENDLIST");
    await expect.poll(() => encoder.running, { timeout: 4000 }).toBe(false);
  });
});

describe("failures", () => {
  it("[CM3] kill -9 of FFmpeg, and one that hangs: the ladder goes on in the same epoch, and no segment is missing", async () => {
    const { id, stream_key } = await platform.createStream({ profile: "ladder" });
    encode(stream_key);
    await expect.poll(async () => segmentsOf(await playlist(id, "480p")).length, until).toBeGreaterThan(1);
    for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
      const [pid] = platform.origin.pids.transcoders;
      process.kill(pid as number, signal);
      await expect.poll(() => platform.origin.pids.transcoders.filter((other) => other !== pid).length, until).toBe(1);
      const before = numbersOf(await playlist(id, "480p"))?.last ?? 0;
      await expect.poll(async () => numbersOf(await playlist(id, "480p"))?.last, until).toBeGreaterThan(before + 1);
    }
    for (const rendition of ["480p", "audio"]) expect(await playlist(id, rendition)).not.toMatch(/#EXT-X-(DISCONTINUITY|GAP)\n/);
    const durations = [...(await playlist(id, "480p")).matchAll(/#EXTINF:([\d.]+)/g)].map((match) => Number(match[1]));
    for (const duration of durations) expect(Math.round(duration)).toBeLessThanOrEqual(2);
  });

  it("kill -9 of an ingest process: its encoder comes back into the same broadcast, behind a discontinuity", async () => {
    const { id, stream_key } = await platform.createStream();
    const first = encode(stream_key);
    await expect.poll(async () => segmentsOf(await playlist(id)).length, until).toBeGreaterThan(0);
    const pids = platform.origin.pids.ingest;
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await first.exited;
    await expect.poll(async () => (await platform.getStream(id)).status, until).toBe("reconnecting");
    const before = await playlist(id);
    await expect.poll(() => platform.origin.pids.ingest.filter((pid) => !pids.includes(pid)).length, until).toBe(pids.length);
    await new Promise((resolve) => setTimeout(resolve, 500));
    encode(stream_key);
    await expect.poll(async () => (await platform.getStream(id)).status, until).toBe("active");
    await expect.poll(() => playlist(id), until).toContain("#EXT-X-DISCONTINUITY\n");
    const after = await playlist(id);
    expect(segmentsOf(after).slice(0, segmentsOf(before).length)).toEqual(segmentsOf(before));
    expect(await platform.getStream(id)).toMatchObject({ broadcast: 1 });
  });

  it("an edge that is away for some seconds gets everything afterwards, in the same epoch", async () => {
    const { id, stream_key } = await platform.createStream();
    encode(stream_key);
    await expect.poll(async () => segmentsOf(await playlist(id)).length, until).toBeGreaterThan(1);
    cut.down();
    await new Promise((resolve) => setTimeout(resolve, 8000));
    expect((await platform.getStream(id)).status).toBe("reconnecting");
    const before = segmentsOf(await playlist(id)).length;
    cut.up();
    await expect.poll(async () => segmentsOf(await playlist(id)).length, until).toBeGreaterThan(before + 4);
    const text = await playlist(id);
    expect(text).not.toMatch(/#EXT-X-(DISCONTINUITY|GAP)\n/);
    expect((await platform.getStream(id)).status).toBe("active");
  });
});

it("[PL3] [PL4] a stream whose key frames are 30 s apart plays in segments no longer than declared, and promises nothing about them", async () => {
  const { id, stream_key } = await platform.createStream();
  encode(stream_key, { gopSeconds: 30 });
  await expect.poll(async () => segmentsOf(await playlist(id)).length, { timeout: 30_000, interval: 200 }).toBeGreaterThan(1);
  const text = await playlist(id);
  const target = Number(/TARGETDURATION:(\d+)/.exec(text)?.[1]);
  for (const [, duration] of text.matchAll(/#EXTINF:([\d.]+)/g)) expect(Math.round(Number(duration))).toBeLessThanOrEqual(target);
  expect(await multivariant(id)).not.toContain("#EXT-X-INDEPENDENT-SEGMENTS");
  expect(platform.logs.join("\n")).toContain("key frame");
});

it("shows a stream key in no log line, and in no process's arguments but the encoder's own", async () => {
  const { id, stream_key } = await platform.createStream();
  encode(stream_key);
  await expect.poll(async () => segmentsOf(await playlist(id)).length, until).toBeGreaterThan(0);
  const secret = stream_key.slice(5);
  expect(platform.logs.join("\n")).not.toContain(secret);
  const processes = execFileSync("ps", ["-eo", "args", "--no-headers", "-ww"], { encoding: "utf8" }).split("\n");
  const naming = processes.filter((line) => line.includes(secret));
  expect(naming).toHaveLength(1);
  expect(naming[0]).toContain("lavfi");
});
