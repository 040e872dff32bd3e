import { beforeEach, describe, expect, it } from "vitest";
import { CloseCode } from "../../domain/protocol/events.ts";
import { type SocketStatus, type StreamFrame, StreamSocket } from "../../workers/web/client/stream-socket.ts";
import { FakeWorld } from "./fake-world.ts";

const INSTANCE = "0f0e0d0c-0b0a-4909-8807-060504030201";

let world: FakeWorld;
let client: StreamSocket;
let told: { frames: StreamFrame[]; gaps: object[]; statuses: SocketStatus[]; refusals: number };

function greeting(seq: number, fields: object = {}) {
  const data = { instance: INSTANCE, ping_interval_ms: 25_000, ack_bytes: 16_384, ...fields };
  return { event: "connection_established", seq, data };
}

const event = (seq: number, name = "viewer_count_changed", data: object = {}) => ({ event: name, seq, data });
const resumeOf = (url: string) => new URL(url).searchParams.get("resume");

/** Opens the newest socket and greets. */
function establish(seq: number, fields: object = {}): void {
  world.socket.open();
  world.socket.say(greeting(seq, fields));
}

beforeEach(() => {
  world = new FakeWorld();
  told = { frames: [], gaps: [], statuses: [], refusals: 0 };
  const handlers = {
    onFrame: (frame: StreamFrame) => void told.frames.push(frame),
    onGap: (gap: object) => void told.gaps.push(gap),
    onStatus: (status: SocketStatus) => void told.statuses.push(status),
    onRefused: () => {
      told.refusals += 1;
    },
  };
  client = new StreamSocket("wss://edge.example/api/v1/streams/s/ws?viewer=abcdefgh", handlers, world.environment);
  client.connect();
});

describe("what a socket tells its owner", () => {
  it("passes on each event once and in order, and its status", () => {
    establish(4);
    world.socket.say(event(5));
    world.socket.say(event(5));
    world.socket.say(event(6, "stream_started"));
    expect(told.frames.map(({ event, seq }) => [event, seq])).toEqual([
      ["connection_established", 4],
      ["viewer_count_changed", 5],
      ["stream_started", 6],
    ]);
    expect(told.statuses).toEqual(["connecting", "open"]);
    expect(resumeOf(world.socket.url)).toBeNull();
  });

  it("counts events that it does not know, without telling of them", () => {
    establish(4);
    world.socket.say(event(5, "poll_opened"));
    world.socket.say(event(6));
    expect(told.frames.map(({ seq }) => seq)).toEqual([4, 6]);
    expect(world.sockets).toHaveLength(1);
  });

  it("does not mind texts that are no frames", () => {
    establish(4);
    for (const text of [
      "{",
      "null",
      "[]",
      '{"event":"error"}',
      '{"event":"error","seq":"4","data":{}}',
      '{"event":"error","seq":4,"data":null}',
    ])
      world.socket.say(text);
    world.socket.say(event(5));
    expect(told.frames.map(({ seq }) => seq)).toEqual([4, 5]);
  });

  it("tells of events that cannot be had, and goes on after them", () => {
    establish(4);
    world.socket.say({ event: "gap", seq: 9, data: { from: 5, to: 9 } });
    world.socket.say(event(10));
    expect(told.gaps).toEqual([{ from: 5, to: 9 }]);
    expect(told.frames.map(({ seq }) => seq)).toEqual([4, 10]);
    expect(world.sockets).toHaveLength(1);
  });

  it("passes an error on, which has no number of its own", () => {
    establish(4);
    world.socket.say(event(4, "error", { code: "busy", message: "…", recoverable: true }));
    world.socket.say(event(5));
    expect(told.frames.map(({ event }) => event)).toEqual(["connection_established", "error", "viewer_count_changed"]);
  });
});

describe("coming back", () => {
  it("resumes after the last event that it has read", () => {
    establish(4);
    world.socket.say(event(5));
    world.socket.end(1006);
    world.pass(500);
    expect(resumeOf(world.socket.url)).toBe(`${INSTANCE}.5`);
    expect(new URL(world.socket.url).searchParams.get("viewer")).toBe("abcdefgh");
    establish(5);
    world.socket.say(event(6));
    expect(told.frames.map(({ seq }) => seq)).toEqual([4, 5, 5, 6]);
    expect(told.statuses).toEqual(["connecting", "open", "closed", "connecting", "open"]);
  });

  it("drops a socket that leaves an event out, and asks for what is missing", () => {
    establish(4);
    world.socket.say(event(6));
    expect(told.frames).toHaveLength(1);
    world.pass(500);
    expect(world.sockets).toHaveLength(2);
    expect(resumeOf(world.socket.url)).toBe(`${INSTANCE}.4`);
    establish(4);
    world.socket.say(event(5));
    world.socket.say(event(6));
    expect(told.frames.map(({ seq }) => seq)).toEqual([4, 4, 5, 6]);
  });

  it("begins to count anew with another instance", () => {
    establish(400);
    world.socket.end(1006);
    world.pass(500);
    establish(3, { instance: "another" });
    world.socket.say({ event: "gap", seq: 3, data: { from: 1, to: 3 } });
    world.socket.say(event(4));
    expect(told.gaps).toEqual([{ from: 1, to: 3 }]);
    world.socket.end(1006);
    world.pass(1000);
    expect(resumeOf(world.socket.url)).toBe("another.4");
  });

  it("stays shut where it was replaced, until it is told to connect", () => {
    establish(4);
    world.socket.end(CloseCode.replaced);
    world.wake();
    world.pass(600_000);
    expect(world.sockets).toHaveLength(1);
    expect(told.statuses.at(-1)).toBe("replaced");
    client.connect();
    expect(world.sockets).toHaveLength(2);
  });

  it.each([1000, 1001, 1005, 1006, 1011, 1012, 1013, CloseCode.silent, CloseCode.slow])("retries soon after %i", (code) => {
    establish(4);
    world.pass(6_000);
    world.socket.end(code);
    world.pass(500);
    expect(world.sockets).toHaveLength(2);
  });

  it.each([CloseCode.unsupported, CloseCode.invalid, CloseCode.rate, CloseCode.tooBig])(
    "waits long after %i, for which it is to blame itself",
    (code) => {
      establish(4);
      world.pass(6_000);
      world.chance = 0;
      world.socket.end(code);
      world.pass(7_400);
      expect(world.sockets).toHaveLength(1);
      world.pass(200);
      expect(world.sockets).toHaveLength(2);
    },
  );

  it("waits longer and longer while nothing answers, up to 15 s, and tells of each refusal", () => {
    world.chance = 0.999_999;
    world.refuses = true;
    world.socket.end(1006);
    world.pass(80_000);
    const waits = world.openedAt.slice(1).map((at, index) => at - (world.openedAt[index] ?? 0));
    expect(waits.slice(0, 8)).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
    expect(told.refusals).toBe(world.sockets.length);
  });

  it("forgets earlier failures once a socket has lived for 5 s, no sooner", () => {
    world.chance = 0.999_999;
    const reconnectsWithin = (ms: number) => {
      const before = world.sockets.length;
      world.pass(ms);
      return world.sockets.length > before;
    };
    world.socket.end(1006);
    expect(reconnectsWithin(500)).toBe(true);
    establish(1);
    world.pass(4_000);
    world.socket.end(1006);
    expect(reconnectsWithin(999)).toBe(false);
    expect(reconnectsWithin(1)).toBe(true);
    establish(1);
    world.pass(5_000);
    world.socket.end(1006);
    expect(reconnectsWithin(500)).toBe(true);
  });

  it("gives up a connection that does not open within 10 s", () => {
    world.pass(10_000);
    expect(told.refusals).toBe(1);
    world.pass(500);
    expect(world.sockets).toHaveLength(2);
    expect(world.sockets[0]?.readyState).toBe(3);
  });

  it("comes back at once when the page is seen or the network is there again", () => {
    world.chance = 0.999_999;
    world.refuses = true;
    world.socket.end(1006);
    world.pass(40_000);
    const before = world.sockets.length;
    world.wake();
    expect(world.sockets).toHaveLength(before + 1);
  });

  it("lets a hidden page that has long been without a socket wait for up to a minute", () => {
    world.chance = 0.999_999;
    world.refuses = true;
    world.hidden = true;
    world.socket.end(1006);
    world.pass(200_000);
    const waits = world.openedAt.slice(1).map((at, index) => at - (world.openedAt[index] ?? 0));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 32_000, 60_000, 60_000]);
  });

  it("stays shut after close, without a timer or a listener left", () => {
    establish(4);
    client.reportPlayback({ rendition: "source", bufferedMs: 1, latencyMs: 1, stalls: 0, switches: 0 });
    client.close();
    expect([world.pending, world.listeners, world.socket.readyState]).toEqual([0, 0, 3]);
    expect(client.status).toBe("closed");
  });

  it("stays shut where its owner closes it on hearing that it is", () => {
    const closing = new StreamSocket(
      "wss://edge.example/",
      { onFrame() {}, onStatus: (status) => status === "closed" && closing.close() },
      world.environment,
    );
    closing.connect();
    const { socket } = world;
    client.close();
    socket.open();
    socket.end(1006);
    expect(world.pending).toBe(0);
  });
});

describe("a server that restarts", () => {
  /** How long after it lost its socket a viewer is back, ms, where connections are refused for a while. */
  function returnAfter(outageMs: number, index: number): number {
    const one = new FakeWorld();
    // Evenly spread chances, the same in every run and another at each draw.
    let draw = index;
    Object.defineProperty(one, "chance", { get: () => (draw++ * 0.618_033_988_75) % 1 });
    const viewer = new StreamSocket("wss://edge.example/", { onFrame() {} }, one.environment);
    viewer.connect();
    one.socket.open();
    one.pass(30_000);
    one.refuses = true;
    one.socket.end(1006);
    one.pass(outageMs);
    one.refuses = false;
    const before = one.sockets.length;
    while (one.sockets.length === before) one.pass(10);
    return one.now - 30_000;
  }

  it.each([0, 1_000, 5_000])("has its whole audience back within 20 s of an outage of %i ms, and not in step", (outageMs) => {
    const returns = Array.from({ length: 1_000 }, (_, index) => returnAfter(outageMs, index));
    expect(Math.max(...returns)).toBeLessThanOrEqual(20_000);
    const tenths = Map.groupBy(returns, (at) => Math.floor(at / 100));
    expect(Math.max(...[...tenths.values()].map(({ length }) => length))).toBeLessThan(returns.length / 4);
  });
});

describe("a line that is dead", () => {
  it("is found out by a ping that nothing answers", () => {
    establish(4, { ping_interval_ms: 20_000 });
    world.pass(20_000);
    expect(world.socket.sent).toEqual(["ping"]);
    world.socket.answers = false;
    world.pass(20_000);
    expect(world.socket.sent).toEqual(["ping", "ping"]);
    expect(world.sockets).toHaveLength(1);
    world.pass(9_999);
    expect(client.status).toBe("open");
    world.pass(1);
    expect(client.status).toBe("closed");
  });

  it("is asked at once when the page is seen again", () => {
    establish(4);
    world.socket.answers = false;
    world.wake();
    expect(world.socket.sent).toEqual(["ping"]);
    world.pass(10_000);
    expect(client.status).toBe("closed");
  });

  it("is alive where anything comes", () => {
    establish(4);
    world.socket.answers = false;
    world.pass(25_000);
    world.socket.say(event(5));
    world.pass(24_000);
    expect(client.status).toBe("open");
  });
});
