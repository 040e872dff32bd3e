import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ServerFrame } from "../../domain/protocol/events.ts";
import { holdBroadcast } from "../fakes/held-broadcast.ts";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import { assertUnbroken, RawWebSocket, socketPath } from "../fakes/raw-websocket.ts";

const soon = { timeout: 5_000, interval: 20 };
const GRACE_MS = 20_000;
/** When those who did not come back are counted out at the latest. */
const LATE_MS = 1_000;
/** What a client is sent of the past at most. */
const MAX_REPLAY_BYTES = 32_768;

let platform: Platform;
let stream: string;
let broadcast: { stop(): void };
const opened: RawWebSocket[] = [];

beforeAll(async () => {
  platform = await startPlatform();
  const { id, stream_key } = await platform.createStream();
  stream = id;
  broadcast = await holdBroadcast(platform, stream_key);
});
afterAll(async () => {
  broadcast.stop();
  for (const socket of opened) socket.destroy();
  await platform.stop();
});

async function open(viewer: string, resume?: string): Promise<RawWebSocket> {
  const socket = await RawWebSocket.open(platform.site, socketPath(stream, viewer, resume === undefined ? "" : `&resume=${resume}`));
  opened.push(socket);
  await vi.waitFor(() => expect(socket.frames[0]?.event).toBe("connection_established"), soon);
  return socket;
}

function newest(socket: RawWebSocket): number {
  return socket.frames.at(-1)?.seq ?? 0;
}

/** What came between two numbers to a socket that was there all the time. */
function eventsBetween(witness: RawWebSocket, after: number, upTo: number): ServerFrame[] {
  return witness.frames.filter(({ event, seq }) => event !== "connection_established" && seq > after && seq <= upTo);
}

/** What a socket was told of the past: all that follows the greeting, up to what was new when it came. */
function replayed(socket: RawWebSocket, upTo: number): ServerFrame[] {
  return socket.frames.slice(1).filter(({ seq }) => seq <= upTo);
}

async function sendAll(payloads: readonly unknown[]): Promise<number> {
  let seq = 0;
  for (const payload of payloads) {
    seq = await vi.waitFor(() => platform.sendMetadata(stream, payload), { ...soon, interval: 250 });
  }
  return seq;
}

function payloadsOf(frames: readonly ServerFrame[]): unknown[] {
  return frames.flatMap((frame) => (frame.event === "timed_metadata" ? [frame.data.payload] : []));
}

describe("a viewer whose line broke", () => {
  it("comes back to exactly what it missed, in order and without a hole", async () => {
    const witness = await open("witness-1");
    const lost = await open("viewer-01");
    await vi.waitFor(() => expect(newest(lost)).toBeGreaterThan(0), soon);
    lost.destroy();
    const last = newest(lost);
    const upTo = await sendAll(["one", "two", "three"]);
    const back = await open("viewer-01", lost.resumePoint);
    await vi.waitFor(() => expect(newest(back)).toBeGreaterThanOrEqual(upTo), soon);
    await vi.waitFor(() => expect(newest(witness)).toBeGreaterThanOrEqual(upTo), soon);
    expect(back.frames[0]).toMatchObject({ event: "connection_established", seq: last });
    expect(replayed(back, upTo)).toEqual(eventsBetween(witness, last, upTo));
    expect(payloadsOf(back.frames)).toEqual(["one", "two", "three"]);
    for (const socket of [witness, back]) assertUnbroken(socket);
    expect(back.last("gap")).toBeUndefined();
  });

  it.each([
    ["another instance", (point: string) => point.replace(/^[^.]*/, "00000000-0000-4000-8000-000000000000")],
    ["a number that has not come yet", (point: string) => `${point}0000`],
  ])("is told that it missed all where it resumes from %s", async (_what, spoil) => {
    const first = await open("viewer-02");
    const upTo = await sendAll(["before"]);
    await vi.waitFor(() => expect(newest(first)).toBeGreaterThanOrEqual(upTo), soon);
    const back = await open("viewer-02", spoil(first.resumePoint));
    await vi.waitFor(() => expect(back.last("gap")).toBeDefined(), soon);
    const [greeting, gap] = back.frames;
    expect(gap).toEqual({ event: "gap", seq: greeting?.seq, data: { from: 1, to: greeting?.seq } });
    expect(greeting?.seq).toBeGreaterThanOrEqual(upTo);
    const next = await sendAll(["after"]);
    await vi.waitFor(() => expect(newest(back)).toBeGreaterThanOrEqual(next), soon);
    expect(payloadsOf(back.frames)).toEqual(["after"]);
    assertUnbroken(back);
  });

  it("is told of a gap, and gets the newest, where it missed more than 32 KiB", async () => {
    const lost = await open("viewer-03");
    await vi.waitFor(() => expect(newest(lost)).toBeGreaterThan(0), soon);
    lost.destroy();
    const upTo = await sendAll(Array.from({ length: 12 }, (_, index) => `${String(index).padStart(2, "0")}${"x".repeat(4_000)}`));
    const back = await open("viewer-03", lost.resumePoint);
    await vi.waitFor(() => expect(newest(back)).toBeGreaterThanOrEqual(upTo), soon);
    const gap = back.last("gap");
    expect(gap?.data.from).toBe(newest(lost) + 1);
    expect(back.frames[2]?.seq).toBe((gap?.data.to ?? 0) + 1);
    const missed = replayed(back, upTo).slice(1);
    const bytes = missed.reduce((sum, frame) => sum + JSON.stringify(frame).length, 0);
    // As much as may be, to the event.
    expect(bytes).toBeLessThanOrEqual(MAX_REPLAY_BYTES);
    expect(bytes).toBeGreaterThan(MAX_REPLAY_BYTES - 5_000);
    expect(String(payloadsOf(missed).at(-1))).toMatch(/^11/);
    assertUnbroken(back);
  });
});

describe("an edge that is killed and started again", () => {
  it("goes on with the numbering, and waits 20 s for its viewers before it counts them out", async () => {
    for (const socket of opened.splice(0)) socket.destroy();
    await vi.waitFor(async () => expect((await platform.getStream(stream)).viewer_count).toBe(0), soon);
    const names = ["viewer-11", "viewer-12", "viewer-13", "viewer-14", "viewer-15"];
    const before = await Promise.all(names.map((name) => open(name)));
    await vi.waitFor(() => expect(before.map(({ count }) => count)).toEqual([5, 5, 5, 5, 5]), soon);
    const [first] = before as [RawWebSocket];
    const upTo = await sendAll(["before the crash"]);
    await vi.waitFor(() => expect(newest(first)).toBeGreaterThanOrEqual(upTo), soon);
    const point = first.resumePoint;
    // One that will have missed something when the edge goes, one that will not.
    first.pause();
    await sendAll(["while nobody reads"]);
    const told = before[1] as RawWebSocket;
    await vi.waitFor(() => expect(payloadsOf(told.frames)).toContain("while nobody reads"), soon);

    await platform.crashEdge();
    await vi.waitFor(() => expect(before.slice(1).every(({ ended }) => ended)).toBe(true), soon);
    const counts = [(await platform.getStream(stream)).viewer_count];
    const wokenAt = Date.now();
    const back = [await open("viewer-11", point), await open("viewer-12", told.resumePoint), await open("viewer-13")];
    expect(new Set(back.map((socket) => socket.last("connection_established")?.data.instance)).size).toBe(1);
    expect(point.startsWith(back[0]?.last("connection_established")?.data.instance ?? "none")).toBe(true);
    const after = await sendAll(["after the crash"]);
    for (const socket of back) await vi.waitFor(() => expect(newest(socket)).toBeGreaterThanOrEqual(after), soon);
    expect(back.map(({ frames }) => payloadsOf(frames))).toEqual([
      ["while nobody reads", "after the crash"],
      ["after the crash"],
      ["after the crash"],
    ]);
    for (const socket of back) expect(socket.last("gap")).toBeUndefined();

    while (Date.now() < wokenAt + GRACE_MS - 1_500) {
      const { viewer_count, viewers } = await platform.getStream(stream);
      counts.push(viewer_count);
      expect(viewers?.connected).toBe(3);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(counts.length).toBeGreaterThan(20);
    expect(new Set(counts)).toEqual(new Set([5]));
    const left = wokenAt + GRACE_MS + LATE_MS - Date.now();
    await vi.waitFor(async () => expect((await platform.getStream(stream)).viewer_count).toBe(3), { timeout: left, interval: 50 });
    for (const socket of back) {
      await vi.waitFor(() => expect(socket.count).toBe(3), soon);
      expect(socket.counts.every(({ count }) => count === 5 || count === 3)).toBe(true);
      assertUnbroken(socket);
    }
  });
});
