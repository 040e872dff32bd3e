import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Ingest } from "../../origin/ingest/ingest.ts";
import { RtmpClient } from "../fakes/rtmp/client.ts";
import { type FlvTag, recordFlvTags, syntheticSource } from "../fakes/rtmp/flv-tags.ts";
import { eventually, isAlive, type RunningIngest, recordingLog, startIngest } from "../fakes/rtmp/ingest-fixture.ts";

let tags: FlvTag[];
beforeAll(async () => {
  tags = await recordFlvTags(1);
}, 20_000);

const encoders: ChildProcess[] = [];
const clients: RtmpClient[] = [];
afterEach(() => {
  for (const encoder of encoders.splice(0)) encoder.kill("SIGKILL");
  for (const client of clients.splice(0)) client.destroy();
});

function startFfmpeg(port: number, key: string, seconds: number): { encoder: ChildProcess; errors: () => string } {
  const argv = [
    "-v",
    "error",
    "-nostdin",
    "-re",
    ...syntheticSource,
    "-t",
    String(seconds),
    "-f",
    "flv",
    `rtmp://127.0.0.1:${port}/live/${key}`,
  ];
  const encoder = spawn("ffmpeg", argv, { stdio: ["ignore", "ignore", "pipe"] });
  encoders.push(encoder);
  let errors = "";
  encoder.stderr?.on("data", (bytes: Buffer) => {
    errors += bytes.toString();
  });
  return { encoder, errors: () => errors };
}

async function startClient(port: number): Promise<RtmpClient> {
  const client = await RtmpClient.connected(port);
  clients.push(client);
  return client;
}

describe("a publish", () => {
  let running: RunningIngest;
  beforeAll(async () => {
    running = await startIngest({ idleMs: 600 });
  });
  afterAll(() => running.ingest.stop());

  it("comes out as FLV and ends as unpublished when FFmpeg finishes", { timeout: 15_000 }, async () => {
    const { encoder } = startFfmpeg(running.port, "from-ffmpeg?extra=1", 1.5);
    const publication = await running.publication("from-ffmpeg");
    expect(publication.software).toContain("Lavf");
    expect(publication.remoteAddress).toBe("127.0.0.1");
    expect(await publication.ended).toEqual({ reason: "unpublished", message: null });
    expect((await once(encoder, "exit"))[0]).toBe(0);
    const received = running.tags(publication);
    expect(received[0]?.type).toBe(18);
    expect(received[0]?.data.toString("latin1", 3, 13)).toBe("onMetaData");
    expect(received.filter((tag) => tag.type === 9).length).toBeGreaterThan(30);
    expect(received.filter((tag) => tag.type === 8).length).toBeGreaterThan(30);
    expect(publication.media.readableEnded).toBe(true);
  });

  it("is lost at once when FFmpeg is killed", { timeout: 15_000 }, async () => {
    const { encoder } = startFfmpeg(running.port, "killed", 30);
    const publication = await running.publication("killed");
    await eventually(() => running.tags(publication).length > 5);
    encoder.kill("SIGKILL");
    const killedAt = performance.now();
    expect((await publication.ended).reason).toBe("connection_lost");
    expect(performance.now() - killedAt).toBeLessThan(500);
  });

  it("ends as idle when no audio or video comes", async () => {
    const client = await startClient(running.port);
    await client.publish("stalled");
    const publication = await running.publication("stalled");
    for (const tag of tags.slice(0, 10)) client.sendTag(tag);
    const metadata = setInterval(() => client.send({ type: 18, streamId: 1, payload: Buffer.from("\x02\x00\x01x", "latin1") }), 100);
    const end = await publication.ended;
    clearInterval(metadata);
    expect(end).toEqual({ reason: "idle", message: "No audio or video for 0.6 s." });
    await client.closed;
  });

  it("keeps every byte and 32-bit timestamps, whatever the chunk size", async () => {
    for (const [key, chunkSize] of [
      ["small", 1],
      ["usual", 4096],
      ["large", 0xffffff],
    ] as const) {
      const client = await startClient(running.port);
      await client.publish(key);
      client.setChunkSize(chunkSize);
      const sent = tags.map((tag, index) => ({
        ...tag,
        timestamp: [0, 0xfffffe, 0xffffff, 0x01000000, 0x80000000, 0xffffffff][index % 6] ?? 0,
      }));
      for (const tag of sent) client.sendTag(tag);
      client.unpublish(key);
      const publication = await running.publication(key);
      expect((await publication.ended).reason).toBe("unpublished");
      await eventually(() => publication.media.readableEnded);
      expect(running.tags(publication)).toEqual(sent);
    }
  });

  it("skips empty messages and unwraps metadata", async () => {
    const client = await startClient(running.port);
    await client.publish("odd");
    client.send({ type: 9, streamId: 1, payload: Buffer.alloc(0) });
    client.send({ type: 8, streamId: 1, payload: Buffer.alloc(0) });
    const metadata = Buffer.from("\x02\x00\x0aonMetaData\x05", "latin1");
    client.send({ type: 15, streamId: 1, payload: Buffer.concat([Buffer.from("\x00\x02\x00\x0d@setDataFrame", "latin1"), metadata]) });
    client.unpublish("odd");
    const publication = await running.publication("odd");
    await publication.ended;
    await eventually(() => publication.media.readableEnded);
    expect(running.tags(publication)).toEqual([{ type: 18, timestamp: 0, data: metadata }]);
  });

  it("is acknowledged as the encoder's window asks", async () => {
    const client = await startClient(running.port);
    const window = Buffer.alloc(4);
    window.writeUInt32BE(100_000);
    client.send({ type: 5, payload: window }, 2);
    await client.publish("acknowledged");
    const acknowledged = client.next((message) => message.type === 3);
    client.setChunkSize(65_536);
    client.send({ type: 9, streamId: 1, payload: Buffer.alloc(150_000, 1) });
    const count = (await acknowledged).payload.readUInt32BE(0);
    expect(count).toBeGreaterThanOrEqual(100_000);
    expect(count).toBeLessThan(160_000);
  });

  it("sends nothing to an encoder that asked for no acknowledgement: unread, it would cost the end of the stream", async () => {
    const client = await startClient(running.port);
    await client.publish("unasked");
    const before = client.received.length;
    client.setChunkSize(65_536);
    for (let count = 0; count < 6; count++) client.send({ type: 9, streamId: 1, payload: Buffer.alloc(1_000_000, 1) });
    client.unpublish("unasked");
    expect(await (await running.publication("unasked")).ended).toMatchObject({ reason: "unpublished" });
    await client.closed;
    expect(client.received.slice(before)).toEqual([]);
  });

  it("ends with the origin's words when the origin stops it", async () => {
    const client = await startClient(running.port);
    await client.publish("stopped");
    const publication = await running.publication("stopped");
    const status = client.nextStatus();
    publication.stop("Fenced: é.");
    expect(await status).toMatchObject({ level: "error", code: "NetStream.Failed", description: "Fenced: ?." });
    expect(await publication.ended).toEqual({ reason: "connection_lost", message: "Fenced: é." });
    await client.closed;
  });
});

describe("a publish that is not accepted", () => {
  let running: RunningIngest;
  beforeAll(async () => {
    running = await startIngest({ decisionMs: 500, bytesBeforeAccept: 200_000, unreadMedia: 200_000 }, (publication) => {
      if (publication.streamKey === "refused") publication.refuse("Unknown stream key.");
      if (publication.streamKey === "unread") publication.accept();
      return publication.streamKey === "unread" ? "leave" : "read";
    });
  });
  afterAll(() => running.ingest.stop());

  it("makes FFmpeg fail", { timeout: 15_000 }, async () => {
    const { encoder, errors } = startFfmpeg(running.port, "refused", 5);
    expect((await once(encoder, "exit"))[0]).not.toBe(0);
    expect(errors()).toContain("Unknown stream key.");
  });

  it("is told why, and nothing that it sends anyway goes anywhere", async () => {
    const client = await startClient(running.port);
    const status = client.publish("refused");
    for (const tag of tags.slice(0, 20)) client.sendTag(tag);
    expect(await status).toEqual({ level: "error", code: "NetStream.Publish.BadName", description: "Unknown stream key." });
    const publication = await running.publication("refused");
    for (const tag of tags.slice(0, 20)) client.sendTag(tag);
    await client.closed;
    expect(await publication.ended).toEqual({ reason: "connection_lost", message: "Unknown stream key." });
    expect(running.tags(publication)).toEqual([]);
  });

  it.each(["", "a b", "a/b", "ключ", "x".repeat(257)])("is refused without asking for the name %j", async (name) => {
    const before = running.publications.length;
    const client = await startClient(running.port);
    expect(await client.publish(name)).toMatchObject({
      level: "error",
      code: "NetStream.Publish.BadName",
      description: "Invalid stream key.",
    });
    await client.closed;
    expect(running.publications.length).toBe(before);
  });

  it("is refused in another application", async () => {
    const client = await RtmpClient.shaken(running.port);
    await client.connect("other");
    await client.createStream();
    expect(await client.publish("key")).toMatchObject({ code: "NetStream.Publish.BadName" });
    await client.closed;
  });

  it("is refused when the origin does not answer", async () => {
    const client = await startClient(running.port);
    expect(await client.publish("unanswered")).toMatchObject({ level: "error", description: "The origin did not answer in time." });
    expect((await (await running.publication("unanswered")).ended).reason).toBe("connection_lost");
  });

  it("may not send much before it is accepted", async () => {
    const client = await startClient(running.port);
    client.command("publish", 3, [null, "eager", "live"], 1);
    client.setChunkSize(65_536);
    for (let count = 0; count < 5; count++) client.send({ type: 9, streamId: 1, payload: Buffer.alloc(50_000, 1) });
    await client.closed;
    expect(client.statuses).toEqual([]);
  });

  it("ends when the origin does not read its media", async () => {
    const client = await startClient(running.port);
    await client.publish("unread");
    client.setChunkSize(65_536);
    for (let count = 0; count < 8; count++) client.send({ type: 9, streamId: 1, payload: Buffer.alloc(50_000, 1) });
    const publication = await running.publication("unread");
    expect(await publication.ended).toEqual({ reason: "connection_lost", message: "The origin can't keep up with this stream." });
    await client.closed;
  });
});

describe("the ingest process", () => {
  it("is replaced when it is killed, and publishes work again on the same port", { timeout: 15_000 }, async () => {
    const running = await startIngest();
    const client = await startClient(running.port);
    await client.publish("before");
    const pid = running.ingest.pid ?? 0;
    process.kill(pid, "SIGKILL");
    const killedAt = performance.now();
    expect((await (await running.publication("before")).ended).reason).toBe("ingest_lost");
    const after = await eventuallyConnected(running.port);
    expect(await after.publish("after")).toMatchObject({ code: "NetStream.Publish.Start" });
    expect(performance.now() - killedAt).toBeLessThan(2_000);
    expect(running.ingest.pid).not.toBe(pid);
    expect(running.log.some((line) => line.startsWith("ingest process died"))).toBe(true);
    const stopping = running.ingest.pid ?? 0;
    await running.ingest.stop();
    expect(isAlive(stopping)).toBe(false);
    await after.closed;
  });

  it("is replaced when it hangs", { timeout: 15_000 }, async () => {
    const running = await startIngest({ processSilenceMs: 1_000 });
    const pid = running.ingest.pid ?? 0;
    process.kill(pid, "SIGSTOP");
    await eventually(() => !isAlive(pid));
    await eventuallyConnected(running.port);
    await running.ingest.stop();
  });

  it("says in words that its port is taken", { timeout: 10_000 }, async () => {
    const running = await startIngest();
    const second = new Ingest({
      rtmpPort: running.port,
      bind: "127.0.0.1",
      runDirectory: join(tmpdir(), "ingest-test"),
      log: recordingLog([]),
      onPublication() {},
    });
    await expect(second.start()).rejects.toThrow(`RTMP port ${running.port} is already in use.`);
    expect(second.pid).toBeNull();
    await running.ingest.stop();
  });
});

async function eventuallyConnected(port: number): Promise<RtmpClient> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await startClient(port);
    } catch (error) {
      if (attempt > 100) throw error;
      await delay(20);
    }
  }
}
