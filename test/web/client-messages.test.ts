import { beforeEach, describe, expect, it } from "vitest";
import { StreamSocket } from "../../workers/web/client/stream-socket.ts";
import { FakeWorld } from "./fake-world.ts";

let world: FakeWorld;
let client: StreamSocket;

/** Opens the newest socket and greets. */
function establish(ackBytes = 16_384): void {
  world.socket.open();
  const data = { instance: "0f0e0d0c-0b0a-4909-8807-060504030201", ping_interval_ms: 25_000, ack_bytes: ackBytes };
  world.socket.say({ event: "connection_established", seq: 4, data });
}

beforeEach(() => {
  world = new FakeWorld();
  client = new StreamSocket("wss://edge.example/", { onFrame() {} }, world.environment);
  client.connect();
});

describe("acknowledgements", () => {
  const acks = () => world.socket.sent.filter((text) => text.includes("ack")).map((text) => JSON.parse(text));
  const big = (seq: number, characters: number) => ({ event: "timed_metadata", seq, data: { at: "", payload: "x".repeat(characters) } });

  it("follow when as much was read as the server said, with the number of the last event", () => {
    establish(2_000);
    world.socket.say(big(5, 1_000));
    expect(acks()).toEqual([]);
    world.socket.say(big(6, 1_000));
    expect(acks()).toEqual([{ type: "ack", seq: 6 }]);
    world.socket.say(big(7, 1_000));
    world.pass(5_000);
    expect(acks()).toHaveLength(1);
  });

  it("come at most once a second, then with what was read meanwhile", () => {
    establish(500);
    for (let seq = 5; seq < 15; seq++) world.socket.say(big(seq, 600));
    expect(acks()).toEqual([{ type: "ack", seq: 5 }]);
    world.pass(1_000);
    expect(acks()).toHaveLength(1);
    world.pass(500);
    expect(acks()).toEqual([
      { type: "ack", seq: 5 },
      { type: "ack", seq: 14 },
    ]);
  });

  it("stay below ten messages in ten seconds beside playback reports, whatever comes", () => {
    establish(100);
    const sentAt: number[] = [];
    for (let seq = 5; seq < 600; seq++) {
      world.socket.say(big(seq, 100));
      client.reportPlayback({ rendition: "source", bufferedMs: 1, latencyMs: 1, stalls: seq, switches: 0 });
      world.pass(100);
      while (sentAt.length < world.socket.sent.filter((text) => text !== "ping").length) sentAt.push(world.now);
    }
    expect(sentAt.length).toBeGreaterThan(40);
    for (const start of sentAt) expect(sentAt.filter((at) => at >= start && at < start + 10_000).length).toBeLessThanOrEqual(10);
  });
});

describe("playback reports", () => {
  const report = { rendition: "source", bufferedMs: 1_500.4, latencyMs: 1_700, stalls: 0, switches: 0 };
  const reports = () => world.socket.sent.filter((text) => text.includes("playback")).map((text) => JSON.parse(text));

  it("begin within 10 s of the connection, spread out", () => {
    establish();
    client.reportPlayback(report);
    world.pass(4_900);
    expect(reports()).toEqual([]);
    world.pass(200);
    expect(reports()).toEqual([{ type: "playback", rendition: "source", buffered_ms: 1500, latency_ms: 1700, stalls: 0, switches: 0 }]);
  });

  it("follow a change, at most each 10 s", () => {
    establish();
    client.reportPlayback(report);
    world.pass(6_000);
    client.reportPlayback({ ...report, stalls: 1 });
    client.reportPlayback({ ...report, stalls: 2 });
    world.pass(9_000);
    expect(reports()).toHaveLength(1);
    world.pass(3_000);
    expect(reports().map(({ stalls }) => stalls)).toEqual([0, 2]);
  });

  it("come once a minute where nothing has changed but what changes always", () => {
    establish();
    for (let second = 0; second < 180; second++) {
      client.reportPlayback({ ...report, bufferedMs: second * 10, latencyMs: 1_700 + (second % 2) * 300 });
      world.pass(1_000);
    }
    expect(reports()).toHaveLength(3);
  });

  it("are said anew to a new connection, and end with playback", () => {
    establish();
    client.reportPlayback(report);
    world.pass(6_000);
    world.socket.end(1006);
    world.pass(500);
    establish();
    world.pass(6_000);
    expect(reports()).toHaveLength(1);
    client.reportPlayback({ ...report, stalls: 1 });
    client.reportPlayback(null);
    world.pass(200_000);
    expect(world.sockets).toHaveLength(2);
    expect(reports()).toHaveLength(1);
  });

  it("are such as the server takes, whatever the player says", () => {
    establish();
    client.reportPlayback({
      rendition: "a-name-that-is-far-too-long",
      bufferedMs: Number.NaN,
      latencyMs: -3,
      stalls: 1.5,
      switches: Number.POSITIVE_INFINITY,
    });
    world.pass(6_000);
    expect(reports()[0]).toEqual({
      type: "playback",
      rendition: "a-name-that-is-f",
      buffered_ms: 0,
      latency_ms: 0,
      stalls: 2,
      switches: 0,
    });
  });
});
