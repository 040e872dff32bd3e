import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RtmpClient } from "../fakes/rtmp/client.ts";
import { type RunningIngest, startIngest } from "../fakes/rtmp/ingest-fixture.ts";

let running: RunningIngest;
beforeAll(async () => {
  running = await startIngest({ handshakeMs: 1_500, idleMs: 700 });
});
afterAll(() => running.ingest.stop());

const clients: RtmpClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});

async function shaken(): Promise<RtmpClient> {
  const client = await RtmpClient.shaken(running.port);
  clients.push(client);
  return client;
}

describe("an encoder", () => {
  it.each([
    ["live", "first?backup=1", true],
    ["live", "second?token=x&backup=1&y", true],
    ["live/?backup=1", "third", true],
    ["live", "fourth?backup=0", false],
    ["live", "fifth?nobackup=1", false],
    ["live", "sixth", false],
  ])("of the application %s that publishes %s stands by: %s", async (app, name, backup) => {
    const client = await shaken();
    await client.setUp({ app });
    expect(await client.publish(name)).toMatchObject({ code: "NetStream.Publish.Start" });
    const publication = await running.publication(name.split("?")[0] ?? "");
    expect(publication.backup).toBe(backup);
  });

  it("that knows Enhanced RTMP is told what the ingest takes, and can be asked to reconnect", async () => {
    const client = await shaken();
    const [properties] = await client.connect({ details: { capsEx: 1 + 4, fourCcList: ["av01", "hvc1"], videoFourCcInfoMap: { "*": 4 } } });
    expect(properties).toMatchObject({
      capsEx: 1,
      fourCcList: ["avc1", "hvc1", "av01", "mp4a", ".mp3"],
      videoFourCcInfoMap: { avc1: 4, hvc1: 4, av01: 4 },
      audioFourCcInfoMap: { mp4a: 4, ".mp3": 4 },
    });
    await client.createStream();
    await client.publish("enhanced");
    const publication = await running.publication("enhanced");
    expect(publication.canReconnect).toBe(true);
    const request = client.next((message) => message.type === 20);
    publication.requestReconnect("This origin is about to stop: é.");
    expect((await request).streamId).toBe(0);
    expect(client.statuses.at(-1)).toEqual({
      level: "status",
      code: "NetConnection.Connect.ReconnectRequest",
      description: "This origin is about to stop: ?.",
    });
    client.sendTag({ type: 9, timestamp: 1, data: Buffer.from([1, 2, 3]) });
    client.unpublish("enhanced");
    expect(await publication.ended).toEqual({ reason: "unpublished", message: null });
    expect(running.tags(publication)).toHaveLength(1);
  });

  it.each([{}, { capsEx: 0, fourCcList: ["*"] }, { capsEx: "1" }])("that announces %j is not asked to reconnect", async (details) => {
    const name = `plain-${Object.keys(details).length}-${JSON.stringify(details).length}`;
    const client = await shaken();
    const [properties] = await client.connect({ details });
    expect(properties).toHaveProperty("fmsVer");
    expect("capsEx" in (properties as object)).toBe(Object.keys(details).length > 0);
    await client.createStream();
    await client.publish(name);
    const publication = await running.publication(name);
    expect(publication.canReconnect).toBe(false);
    publication.requestReconnect("Go.");
    publication.stop("Over.");
    await client.closed;
    expect(client.statuses.map(({ code }) => code)).toEqual(["NetStream.Publish.Start", "NetStream.Failed"]);
  });

  it("may list what it can in arrays and in maps with lengths", async () => {
    const client = await shaken();
    // An ECMA array (type 8) inside connect's details, and what follows it.
    const details = Buffer.from(
      "\x03\x00\x03app\x02\x00\x04live\x00\x12videoFourCcInfoMap\x08\x00\x00\x00\x01\x00\x01*\x00\x40\x10\x00\x00\x00\x00\x00\x00\x00\x00\x09" +
        "\x00\x05tcUrl\x02\x00\x0drtmp://a/live\x00\x06capsEx\x00\x3f\xf0\x00\x00\x00\x00\x00\x00\x00\x00\x09",
      "latin1",
    );
    const command = Buffer.from("\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00", "latin1");
    const answer = client.next((message) => message.type === 20);
    client.send({ type: 20, payload: Buffer.concat([command, details]) });
    await answer;
    await client.createStream();
    await client.publish("ecma");
    expect((await running.publication("ecma")).canReconnect).toBe(true);
  });

  it("may shake hands byte by byte, as long as it is done in time", async () => {
    const quick = await RtmpClient.open(running.port);
    const slow = await RtmpClient.open(running.port);
    clients.push(quick, slow);
    const tooSlow = expect(slow.shakeHandsSlowly(1, 5)).rejects.toThrow("closed the connection");
    await quick.shakeHandsSlowly(12, 1);
    await quick.setUp();
    expect(await quick.publish("bytewise")).toMatchObject({ code: "NetStream.Publish.Start" });
    await tooSlow;
  });

  it("that stalls inside a message is idle", async () => {
    const client = await shaken();
    await client.setUp();
    await client.publish("stalled");
    client.sendTag({ type: 9, timestamp: 0, data: Buffer.alloc(10, 1) });
    client.send({ type: 9, streamId: 1, payload: Buffer.alloc(100, 1) }, 6, { length: 50_000 });
    const publication = await running.publication("stalled");
    expect(await publication.ended).toEqual({ reason: "idle", message: "No audio or video for 0.7 s." });
    expect(running.tags(publication)).toHaveLength(1);
    await client.closed;
  });

  it("whose clock runs backward, is negative and wraps is passed on as it is", async () => {
    const client = await shaken();
    await client.setUp();
    await client.publish("odd-clock");
    const timestamps = [-40, 0, 40, 20, 0x7fffffff, 0x80000000, 0xffffffff, 0, 5].map((timestamp) => timestamp >>> 0);
    for (const timestamp of timestamps) client.sendTag({ type: 9, timestamp, data: Buffer.alloc(200, 1) });
    client.unpublish("odd-clock");
    const publication = await running.publication("odd-clock");
    await publication.ended;
    expect(running.tags(publication).map(({ timestamp }) => timestamp)).toEqual(timestamps);
  });
});
