import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { ServerFrame } from "../../domain/protocol/events.ts";
import { ask, createStream, liveStreamOf, OriginCalls } from "./edge.ts";

interface Viewer {
  socket: WebSocket;
  frames: ServerFrame[];
  closed: { code: number; reason: string } | null;
  last(event: ServerFrame["event"]): ServerFrame | undefined;
}

async function connect(stream: string, viewer: string, headers: Record<string, string> = {}): Promise<Response> {
  return ask(`/api/v1/streams/${stream}/ws?viewer=${viewer}`, { headers: { Upgrade: "websocket", ...headers } });
}

async function join(stream: string, name: string): Promise<Viewer> {
  const answer = await connect(stream, name);
  const socket = answer.webSocket;
  if (answer.status !== 101 || socket === null) throw new Error(`no socket: ${answer.status}`);
  const viewer: Viewer = { socket, frames: [], closed: null, last: (event) => viewer.frames.findLast((frame) => frame.event === event) };
  socket.addEventListener("message", (event) => {
    if (event.data !== "pong") viewer.frames.push(ServerFrame.parse(JSON.parse(event.data as string)));
  });
  socket.addEventListener("close", ({ code, reason }) => {
    viewer.closed = { code, reason };
  });
  socket.accept();
  return viewer;
}

function countSeenBy(viewer: Viewer): number | undefined {
  const frame = viewer.frames.findLast(
    (candidate) => candidate.event === "viewer_count_changed" || candidate.event === "connection_established",
  );
  return frame?.event === "viewer_count_changed" || frame?.event === "connection_established" ? frame.data.viewer_count : undefined;
}

describe("the count", () => {
  it("is the set of viewers: five join, one leaves, four are left, and everybody is told", async () => {
    const { id } = await createStream();
    const viewers = [];
    for (let i = 1; i <= 5; i++) viewers.push(await join(id, `viewer-000${i}`));
    for (const viewer of viewers) await expect.poll(() => countSeenBy(viewer), { timeout: 3000 }).toBe(5);
    viewers[0]?.socket.close(1000, "bye");
    for (const viewer of viewers.slice(1)) await expect.poll(() => countSeenBy(viewer), { timeout: 3000 }).toBe(4);
    expect(await liveStreamOf(id).facts()).toMatchObject({ viewerCount: 4, peakViewers: 5 });
  });

  it("counts a viewer once: a newer socket takes the older one's place, which closes with 4001", async () => {
    const { id } = await createStream();
    const old = await join(id, "viewer-0001");
    const newer = await join(id, "viewer-0001");
    await expect.poll(() => old.closed?.code).toBe(4001);
    await expect.poll(() => countSeenBy(newer)).toBe(1);
    expect(await liveStreamOf(id).facts()).toMatchObject({ viewerCount: 1, peakViewers: 1 });
  });

  it("survives hibernation, and goes on with the same numbering", async () => {
    const { id } = await createStream();
    const first = await join(id, "viewer-0001");
    await join(id, "viewer-0002");
    await expect.poll(() => countSeenBy(first), { timeout: 3000 }).toBe(2);
    await evictDurableObject(liveStreamOf(id));
    await join(id, "viewer-0003");
    await expect.poll(() => countSeenBy(first), { timeout: 3000 }).toBe(3);
    const numbers = first.frames.map((frame) => frame.seq);
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] as number) + index));
  });

  it("drops a viewer that has not pinged for 65 s, and keeps one that has", async () => {
    const { id } = await createStream();
    const joinedAt = Date.now();
    const silent = await join(id, "viewer-0001");
    const alive = await join(id, "viewer-0002");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const pong = new Promise((resolve) => alive.socket.addEventListener("message", (event) => event.data === "pong" && resolve(true)));
    alive.socket.send("ping");
    await pong;
    // The runtime stamps pings with its own clock, so only the object's clock is moved, to between the two deadlines.
    vi.useFakeTimers({ toFake: ["Date"], now: joinedAt + 65_700 });
    try {
      expect(await runDurableObjectAlarm(liveStreamOf(id))).toBe(true);
    } finally {
      vi.useRealTimers();
    }
    await expect.poll(() => silent.closed?.code, { timeout: 3000 }).toBe(4002);
    await expect.poll(() => countSeenBy(alive), { timeout: 3000 }).toBe(1);
    expect(alive.closed).toBeNull();
  });
});

describe("the socket", () => {
  it("is refused to other sites, made-up ids and bad viewers, and needs an upgrade", async () => {
    const { id } = await createStream();
    expect((await connect(id, "viewer-0001", { Origin: "https://evil.example" })).status).toBe(403);
    expect((await connect(id, "viewer-0001", { Origin: "https://edge.test" })).status).toBe(101);
    expect((await connect("0".repeat(24), "viewer-0001")).status).toBe(404);
    expect((await connect(id, "x")).status).toBe(400);
    expect((await ask(`/api/v1/streams/${id}/ws?viewer=viewer-0001`)).status).toBe(426);
  });

  it("greets with the state, answers ping, and tells start, loss and end within the broadcast", async () => {
    const { id, stream_key } = await createStream({ title: "Greeting" });
    const viewer = await join(id, "viewer-0001");
    await expect
      .poll(() => viewer.last("connection_established")?.data)
      .toMatchObject({ stream: { id, title: "Greeting", status: "pending" }, viewer_count: 1 });
    const pong = new Promise((resolve) => viewer.socket.addEventListener("message", (event) => event.data === "pong" && resolve(true)));
    viewer.socket.send("ping");
    expect(await pong).toBe(true);

    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await expect.poll(() => viewer.last("stream_started")?.data).toMatchObject({ stream_id: id, broadcast: 1 });
    await origin.end("connection_lost");
    await expect.poll(() => viewer.last("stream_reconnecting")?.data).toMatchObject({ broadcast: 1, reason: "connection_lost" });
    const again = await OriginCalls.publish(stream_key);
    await again.begin();
    await again.end("unpublished");
    await expect.poll(() => viewer.last("stream_ended")?.data).toMatchObject({ broadcast: 1, reason: "unpublished", peak_viewers: 1 });
    const order = viewer.frames.map((frame) => frame.event).filter((event) => event.startsWith("stream_"));
    expect(order).toEqual(["stream_started", "stream_reconnecting", "stream_started", "stream_ended"]);
  });

  it.each([
    ["a binary frame", (socket: WebSocket) => socket.send(new Uint8Array(3)), 1003],
    ["what is not JSON", (socket: WebSocket) => socket.send("{nope"), 1007],
    ["JSON of no known shape", (socket: WebSocket) => socket.send('{"type":"hack"}'), 1007],
    ["a frame over 4 KiB", (socket: WebSocket) => socket.send("x".repeat(5000)), 1009],
    [
      "an eleventh message in 10 s",
      (socket: WebSocket) => {
        const message = JSON.stringify({ type: "playback", rendition: "source", buffered_ms: 1, latency_ms: 1, stalls: 0 });
        for (let i = 0; i < 11; i++) socket.send(message);
      },
      1008,
    ],
  ] as const)("closes on %s", async (_what, send, code) => {
    const { id } = await createStream();
    const viewer = await join(id, "viewer-0001");
    send(viewer.socket);
    await expect.poll(() => viewer.closed?.code, { timeout: 3000 }).toBe(code);
    await expect.poll(async () => (await liveStreamOf(id).facts()).viewerCount).toBe(0);
  });
});
