import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { assertContiguous, connect, join, joinMany, type TestViewer } from "./audience.ts";
import { ask, createStream, liveStreamOf, OriginCalls } from "./edge.ts";

describe("the count", () => {
  it("is the set of viewers: five join, one leaves, four are left, and everybody is told", async () => {
    const { id } = await createStream();
    const viewers = await joinMany(id, 5);
    for (const viewer of viewers) await expect.poll(() => viewer.count(), { timeout: 3000 }).toBe(5);
    viewers[0]?.socket.close(1000, "bye");
    for (const viewer of viewers.slice(1)) await expect.poll(() => viewer.count(), { timeout: 3000 }).toBe(4);
    expect(await liveStreamOf(id).facts()).toMatchObject({ viewerCount: 4, peakViewers: 5 });
  });

  it("counts a viewer once: a newer socket takes the older one's place, which closes with 4001", async () => {
    const { id } = await createStream();
    const old = await join(id, "viewer-0001");
    const newer = await join(id, "viewer-0001");
    await expect.poll(() => old.closed?.code).toBe(4001);
    await expect.poll(() => newer.count()).toBe(1);
    expect(await liveStreamOf(id).facts()).toMatchObject({ viewerCount: 1, peakViewers: 1 });
  });

  it("survives hibernation, and goes on with the same numbering", async () => {
    const { id } = await createStream();
    const first = await join(id, "viewer-0001");
    await join(id, "viewer-0002");
    await expect.poll(() => first.count(), { timeout: 3000 }).toBe(2);
    await evictDurableObject(liveStreamOf(id));
    await join(id, "viewer-0003");
    await expect.poll(() => first.count(), { timeout: 3000 }).toBe(3);
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
    await expect.poll(() => alive.count(), { timeout: 3000 }).toBe(1);
    expect(alive.closed).toBeNull();
  });
});

describe("a restart", () => {
  it("does not make the number collapse: viewers have 20 s to come back, and their stays go on", async () => {
    const { id } = await createStream();
    const object = liveStreamOf(id);
    const viewers = await joinMany(id, 4);
    await expect.poll(() => viewers[0]?.count(), { timeout: 3000 }).toBe(4);
    await evictDurableObject(object, { webSockets: "close" });
    expect((await object.facts()).viewers).toEqual({ connected: 0, sockets: 4, pull: 0 });
    const back = await join(id, "viewer-0000");
    await expect
      .poll(() => back.last("connection_established")?.data)
      .toMatchObject({ viewer_count: 4, viewers: { connected: 1, sockets: 4 } });
    const restarted = Date.now();
    await expect.poll(async () => (await object.facts()).viewers.connected).toBe(1);
    vi.useFakeTimers({ toFake: ["Date"], now: restarted + 20_500 });
    try {
      await runDurableObjectAlarm(object);
      expect((await object.facts()).viewers).toEqual({ connected: 1, sockets: 1, pull: 0 });
    } finally {
      vi.useRealTimers();
    }
    await expect.poll(() => back.count(), { timeout: 3000 }).toBe(1);
    const { sessions } = await sessionsOf(id);
    expect(sessions.length).toBe(4);
    expect(sessions.filter(({ left_at }) => left_at === null).map(({ viewer }) => viewer)).toEqual(["viewer-0000"]);
  });
});

describe("a stay", () => {
  it("is one row, written when it begins and when it ends, with what the player said", async () => {
    const { id } = await createStream();
    const object = liveStreamOf(id);
    const [first, second] = (await joinMany(id, 2)) as [TestViewer, TestViewer];
    await expect.poll(() => second.count(), { timeout: 3000 }).toBe(2);
    first.socket.send(JSON.stringify({ type: "playback", rendition: "720p", buffered_ms: 900, latency_ms: 1800, stalls: 2, switches: 1 }));
    // At most one in 10 s is heard.
    first.socket.send(JSON.stringify({ type: "playback", rendition: "480p", buffered_ms: 900, latency_ms: 1800, stalls: 9, switches: 9 }));
    await expect
      .poll(async () => (await sessionsOf(id)).sessions.find(({ viewer }) => viewer === "viewer-0000"))
      .toMatchObject({
        left_at: null,
        rendition: "720p",
        stalls: 2,
        switches: 1,
        device: "other",
      });
    const written = await runInDurableObject(object, (_instance, state) => {
      const before = state.storage.sql.exec("SELECT count(*) AS rows FROM sessions").one().rows;
      return { rows: before };
    });
    expect(written.rows).toBe(2);
    first.socket.close(1000);
    await expect
      .poll(async () => (await sessionsOf(id)).sessions.find(({ viewer }) => viewer === "viewer-0000")?.left_at)
      .toBeTypeOf("string");
    const [row] = await runInDurableObject(object, (_instance, state) =>
      state.storage.sql.exec("SELECT * FROM sessions ORDER BY id").toArray(),
    );
    expect(row).toMatchObject({ viewer: "viewer-0000", rendition: "720p", stalls: 2, switches: 1, device: "other" });
    expect(Object.keys(row ?? {})).toEqual(["id", "viewer", "device", "country", "left_at", "rendition", "stalls", "switches"]);
  });

  it("is forgotten after 30 days", async () => {
    const { id } = await createStream();
    const viewer = await join(id, "viewer-0001");
    viewer.socket.close(1000);
    await expect.poll(async () => (await sessionsOf(id)).sessions[0]?.left_at).toBeTypeOf("string");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31 * 86_400_000 });
    try {
      expect(await runDurableObjectAlarm(liveStreamOf(id))).toBe(true);
      expect((await sessionsOf(id)).sessions).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("who comes back", () => {
  it("is told what it missed, from before a restart too", async () => {
    const { id, stream_key } = await createStream();
    const viewer = await join(id, "viewer-0001");
    await expect.poll(() => viewer.count(), { timeout: 3000 }).toBe(1);
    const { instance } = viewer.last("connection_established")?.data ?? {};
    const seq = viewer.frames.at(-1)?.seq ?? 0;
    viewer.socket.close(1000);
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await evictDurableObject(liveStreamOf(id), { webSockets: "close" });
    const again = await join(id, "viewer-0001", {}, `&resume=${instance}.${seq}`);
    await expect.poll(() => again.last("stream_started")?.data.broadcast, { timeout: 3000 }).toBe(1);
    expect(again.frames[0]).toMatchObject({ event: "connection_established", seq });
    expect(again.frames.some(({ event }) => event === "gap")).toBe(false);
    assertContiguous(again.frames);
  });

  it("is told of a gap where nobody remembers: another instance, or more than two minutes", async () => {
    const { id, stream_key } = await createStream();
    const viewer = await join(id, "viewer-0001");
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await expect.poll(() => viewer.last("stream_started")?.seq, { timeout: 3000 }).toBeTypeOf("number");
    const { instance } = viewer.last("connection_established")?.data ?? {};
    const foreign = await join(id, "viewer-0002", {}, `&resume=${crypto.randomUUID()}.5`);
    await expect.poll(() => foreign.last("gap")?.data, { timeout: 3000 }).toMatchObject({ from: 1 });
    expect(foreign.last("gap")?.seq).toBe(foreign.last("gap")?.data.to);
    assertContiguous(foreign.frames);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 130_000 });
    try {
      const late = await join(id, "viewer-0003", {}, `&resume=${instance}.0`);
      await expect.poll(() => late.last("gap")?.data, { timeout: 3000 }).toMatchObject({ from: 1 });
      assertContiguous(late.frames);
    } finally {
      vi.useRealTimers();
    }
    expect((await connect(id, "viewer-0004", {}, "&resume=nonsense")).status).toBe(400);
  });
});

describe("who does not read", () => {
  it("is dropped with 64 KiB unacknowledged; who acknowledges stays", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    const mute = await join(id, "viewer-0001");
    const reader = await join(id, "viewer-0002");
    await expect.poll(() => reader.count(), { timeout: 3000 }).toBe(2);
    const payload = "x".repeat(4_000);
    for (let i = 0; i < 24; i++) {
      // A second goes by in each five, as the broadcaster's limit wants it.
      const sent = await liveStreamOf(id).sendMetadata(null, payload);
      if (!sent.ok) throw new Error(sent.code);
      await expect.poll(() => reader.frames.at(-1)?.seq, { timeout: 3000 }).toBeGreaterThanOrEqual(sent.value.seq);
      if (i % 4 === 3) {
        reader.socket.send(JSON.stringify({ type: "ack", seq: sent.value.seq }));
        await new Promise((resolve) => setTimeout(resolve, 1_050));
        await origin.heartbeat();
      }
    }
    await expect.poll(() => mute.closed?.code, { timeout: 3000 }).toBe(4003);
    expect(reader.closed).toBeNull();
    assertContiguous(reader.frames);
    reader.socket.send(JSON.stringify({ type: "ack", seq: 1_000_000 }));
    await expect.poll(() => reader.closed?.code, { timeout: 3000 }).toBe(1007);
  });
});

describe("one address", () => {
  it("has so many sockets of a stream, and no more; a viewer's own next one is always let in", async () => {
    const { id } = await createStream();
    const from = (address: string) => ({ "CF-Connecting-IP": address });
    const viewers: TestViewer[] = [];
    for (let i = 0; i < 10; i++) viewers.push(await join(id, `viewer-000${i}`, from("203.0.113.7")));
    const refused = await connect(id, "viewer-9999", from("203.0.113.7"));
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ error: "too_many_sockets" });
    expect((await connect(id, "viewer-0003", from("203.0.113.7"))).status).toBe(101);
    expect((await connect(id, "viewer-9998", from("203.0.113.8"))).status).toBe(101);
    viewers[0]?.socket.close(1000);
    await expect.poll(async () => (await connect(id, "viewer-9999", from("203.0.113.7"))).status, { timeout: 3000 }).toBe(101);
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
    expect(viewer.last("quality_changed")?.data).toMatchObject({ qualities: ["source"], reason: "broadcast_started" });
  });

  it("tells how the encoder does, every 5 s, and what its broadcaster sends along", async () => {
    const { id, stream_key } = await createStream();
    const viewer = await join(id, "viewer-0001");
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.heartbeat();
    await expect
      .poll(() => viewer.last("bitrate_update")?.data)
      .toEqual({ bitrate_kbps: 1000, fps: 30, dropped_frames: 0, health: "good", health_reasons: [] });
    await origin.heartbeat();
    await liveStreamOf(id).sendMetadata(Date.UTC(2026, 0, 1), { question: "Who wins?", answers: [1, null, "x"] });
    await expect
      .poll(() => viewer.last("timed_metadata")?.data)
      .toEqual({ at: "2026-01-01T00:00:00.000Z", payload: { question: "Who wins?", answers: [1, null, "x"] } });
    expect(viewer.frames.filter(({ event }) => event === "bitrate_update").length).toBe(1);
    assertContiguous(viewer.frames);
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

async function sessionsOf(stream: string) {
  const outcome = await liveStreamOf(stream).viewerSessions({ cursor: null, limit: 100 });
  if (!outcome.ok) throw new Error(outcome.code);
  return outcome.value;
}
