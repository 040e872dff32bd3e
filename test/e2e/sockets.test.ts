import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { MAX_UNACKNOWLEDGED_BYTES } from "../../domain/protocol/events.ts";
import { holdBroadcast } from "../fakes/held-broadcast.ts";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import { assertUnbroken, Opcode, RawWebSocket, socketPath } from "../fakes/raw-websocket.ts";

const PLAYBACK = JSON.stringify({ type: "playback", rendition: "source", buffered_ms: 1, latency_ms: 1, stalls: 0 });
const NOT_UTF8 = Buffer.from([0xff, 0xfe, 0xc3]);

let platform: Platform;

beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform.stop());

function open(stream: string, viewer: string): Promise<RawWebSocket> {
  return RawWebSocket.open(platform.site, socketPath(stream, viewer));
}

/** Polls, also where tests run beside each other. */
function waitFor<Value>(read: () => Value | Promise<Value>, expected: Value): Promise<void> {
  return vi.waitFor(async () => expect(await read()).toBe(expected), { timeout: 5_000, interval: 20 });
}

/** A stream with somebody who only watches what others do. */
async function openStream(): Promise<{ id: string; bystander: RawWebSocket }> {
  const { id } = await platform.createStream();
  return { id, bystander: await open(id, "bystander") };
}

async function connected(stream: string): Promise<number | undefined> {
  return (await platform.getStream(stream)).viewers?.connected;
}

/** Nothing has happened to a bystander but that somebody came and went, and he can still be heard. */
async function expectUndisturbed(stream: string, bystander: RawWebSocket): Promise<void> {
  await waitFor(() => connected(stream), 1);
  await waitFor(() => bystander.count, 1);
  const { pongs } = bystander;
  bystander.text("ping");
  await waitFor(() => bystander.pongs, pongs + 1);
  expect(bystander.closed).toBeNull();
  assertUnbroken(bystander);
  expect(new Set(bystander.frames.map(({ event }) => event))).toEqual(new Set(["connection_established", "viewer_count_changed"]));
}

/** A valid message, made longer by what JSON does not mind. */
function padded(bytes: number): string {
  return PLAYBACK + " ".repeat(bytes - PLAYBACK.length);
}

describe.concurrent("a client that does not keep to the protocol is told why, and closed", () => {
  it.each<[what: string, send: (socket: RawWebSocket) => void, closeCode: number, error: string]>([
    ["a binary frame", (socket) => socket.frame(Opcode.binary, Buffer.from(PLAYBACK)), 1003, "binary_frame"],
    ["what is not JSON", (socket) => socket.text("{nope"), 1007, "unknown_message"],
    ["JSON of no known shape", (socket) => socket.text('{"type":"hack"}'), 1007, "unknown_message"],
    ["text that is not UTF-8", (socket) => socket.frame(Opcode.text, NOT_UTF8), 1007, "unknown_message"],
    ["the receipt of what was never sent", (socket) => socket.text('{"type":"ack","seq":99999}'), 1007, "unknown_event"],
    ["one byte more than 4 KiB", (socket) => socket.text(padded(4097)), 1009, "frame_too_big"],
    ["fewer than 4,096 characters of more bytes", (socket) => socket.text(`"${"é".repeat(2_100)}"`), 1009, "frame_too_big"],
    [
      "more than 4 KiB in fragments that are less",
      (socket) => socket.fragments(Opcode.text, [Buffer.alloc(2_100, "x"), Buffer.alloc(2_100, "x")]),
      1009,
      "frame_too_big",
    ],
    [
      "an eleventh message in 10 s",
      (socket) => {
        for (let message = 0; message < 11; message++) socket.text(PLAYBACK);
      },
      1008,
      "too_many_messages",
    ],
  ])("%s", async (_what, send, closeCode, error) => {
    const { id, bystander } = await openStream();
    const culprit = await open(id, "culprit-1");
    await waitFor(() => bystander.count, 2);
    send(culprit);
    await waitFor(() => culprit.closed?.code, closeCode);
    expect(culprit.last("error")?.data).toMatchObject({ code: error, recoverable: false });
    expect(culprit.frames.at(-1)?.event).toBe("error");
    await expectUndisturbed(id, bystander);
  });

  it("what is at the limit is no offence: ten messages, 4 KiB, and text in fragments", async () => {
    const { id, bystander } = await openStream();
    const client = await open(id, "viewer-01");
    for (let message = 0; message < 8; message++) client.text(PLAYBACK);
    client.text(padded(4096));
    const bytes = Buffer.from(PLAYBACK);
    client.fragments(Opcode.text, [bytes.subarray(0, 10), bytes.subarray(10, 11), bytes.subarray(11)]);
    for (let ping = 0; ping < 20; ping++) client.text("ping");
    await waitFor(() => client.pongs, 20);
    expect(client.closed).toBeNull();
    expect(await connected(id)).toBe(2);
    client.destroy();
    await expectUndisturbed(id, bystander);
  });
});

describe.concurrent("a connection that breaks WebSocket itself is cut off, and nobody else notices", () => {
  const text = Buffer.from("ping");
  it.each<[what: string, send: (socket: RawWebSocket) => void, closeCode: number]>([
    ["another protocol", (socket) => socket.bytes(Buffer.alloc(300, "GET / HTTP/1.1\r\n")), 1002],
    ["an extension that was not agreed on", (socket) => socket.frame(Opcode.text, text, { reserved: 4 }), 1002],
    ["a frame of no known type", (socket) => socket.frame(11, text), 1002],
    ["the rest of nothing", (socket) => socket.frame(Opcode.continuation, text), 1002],
    ["a ping in fragments", (socket) => socket.frame(Opcode.ping, text, { final: false }), 1002],
    [
      "a message within another",
      (socket) => {
        socket.frame(Opcode.text, text, { final: false });
        socket.frame(Opcode.text, text);
      },
      1002,
    ],
    ["a frame of an exabyte", (socket) => socket.frame(Opcode.text, text, { declaredLength: 2 ** 60 }), 1009],
  ])("%s", async (_what, send, closeCode) => {
    const { id, bystander } = await openStream();
    const culprit = await open(id, "culprit-1");
    send(culprit);
    await waitFor(() => culprit.closed?.code, closeCode);
    await expectUndisturbed(id, bystander);
  });

  it.each<[what: string, send: (socket: RawWebSocket) => void]>([
    ["a reset", (socket) => socket.destroy()],
    [
      "a reset in the middle of a frame",
      (socket) => {
        socket.frame(Opcode.text, Buffer.from("{"), { declaredLength: 4_000 });
        socket.destroy();
      },
    ],
    [
      "frames without a mask, whatever is made of them",
      (socket) => {
        for (let frame = 0; frame < 5; frame++) socket.frame(Opcode.text, text, { masked: false });
        socket.frame(Opcode.text, Buffer.from("{nope"), { masked: false });
      },
    ],
  ])("%s", async (_what, send) => {
    const { id, bystander } = await openStream();
    const culprit = await open(id, "culprit-1");
    await waitFor(() => connected(id), 2);
    send(culprit);
    await expectUndisturbed(id, bystander);
  });
});

describe.concurrent("a socket ends in order", () => {
  it.each<[what: string, payload: Uint8Array, answer: number]>([
    ["and says nothing more", Buffer.alloc(0), 1000],
    ["as is usual", Buffer.from([0x03, 0xe8]), 1000],
    ["because its page is left", Buffer.from([0x03, 0xe9]), 1001],
    ["with a code of its own", Buffer.from([0x0f, 0xa0]), 4000],
    ["with a code that stands for no frame", Buffer.from([0x03, 0xed]), 1000],
    ["with a code that there is not", Buffer.from([0x03, 0xe7]), 1000],
  ])("a client that says goodbye %s is answered, and the connection is closed", async (_what, payload, answer) => {
    const { id, bystander } = await openStream();
    const leaver = await open(id, "viewer-01");
    leaver.frame(Opcode.close, payload);
    await expectUndisturbed(id, bystander);
    await waitFor(() => leaver.closed?.code, answer);
    await waitFor(() => leaver.ended, true);
  });

  it("a newer socket of the same viewer closes the older one with 4001, and the viewer counts once all along", async () => {
    const { id, bystander } = await openStream();
    const sockets = [await open(id, "viewer-01")];
    await waitFor(() => bystander.count, 2);
    for (let socket = 0; socket < 3; socket++) sockets.push(await open(id, "viewer-01"));
    for (const older of sockets.slice(0, -1)) await waitFor(() => older.closed?.code, 4001);
    expect(sockets.at(-1)?.closed).toBeNull();
    expect(await connected(id)).toBe(2);
    sockets.at(-1)?.destroy();
    await expectUndisturbed(id, bystander);
    // It was never told of a third viewer, nor that the second had gone before it had.
    const counts = bystander.counts.map(({ count }) => count);
    expect(counts.filter((count, index) => count !== counts[index - 1])).toEqual([1, 2, 1]);
  });
});

describe("a reader that stalls", () => {
  const STALLED = 20;
  const EVENTS = 64;
  /** As large as metadata may be. */
  const PAYLOAD = "x".repeat(4_094);
  /** They may have 1.25 MiB unacknowledged; the rest is what the runtime's collector leaves lying for a while. */
  const MAX_GROWTH_MIB = 12;

  it("is closed with 4003 at 64 KiB, while those who acknowledge get all 256 KiB at once", async () => {
    const { id, stream_key } = await platform.createStream();
    const broadcast = await holdBroadcast(platform, stream_key);
    const readers = [await open(id, "reader-01"), await open(id, "reader-02")];
    const stalled: RawWebSocket[] = [];
    for (let number = 0; number < STALLED; number++) stalled.push(await open(id, `stalled-${number + 10}`));
    const acknowledging = setInterval(() => {
      for (const reader of readers) reader.acknowledge();
    }, 1_200);
    const pinging = setInterval(() => {
      for (const socket of stalled) socket.text("ping");
    }, 1_000);
    for (const socket of stalled) socket.pause();
    try {
      const memory = [residentMib()];
      const sentAt = new Map<number, number>();
      for (let event = 1; event <= EVENTS; event++) {
        const at = Date.now();
        sentAt.set(await platform.sendMetadata(id, PAYLOAD), at);
        // 15 events are less than 64 KiB, 17 are more.
        if (event === 14) expect(await connected(id)).toBe(2 + STALLED);
        if (event === 17) expect(await connected(id)).toBe(2);
        memory.push(residentMib());
        await sleep(210);
      }
      for (const reader of readers) {
        await waitFor(() => reader.frames.filter(({ event }) => event === "timed_metadata").length, EVENTS);
        expect(reader.closed).toBeNull();
        assertUnbroken(reader);
        const events = reader.received.filter(({ frame }) => frame.event === "timed_metadata");
        const bytes = events.reduce((sum, { frame }) => sum + JSON.stringify(frame).length, 0);
        expect(bytes).toBeGreaterThan(4 * MAX_UNACKNOWLEDGED_BYTES);
        const delays = events.map(({ frame, at }) => at - (sentAt.get(frame.seq) ?? 0));
        expect(Math.max(...delays)).toBeLessThan(1_000);
      }
      expect(Math.max(...memory) - (memory[0] as number)).toBeLessThan(MAX_GROWTH_MIB);
      for (const socket of stalled) socket.resume();
      for (const socket of stalled) await waitFor(() => socket.closed?.code, 4003);
      for (const socket of stalled) assertUnbroken(socket);
    } finally {
      clearInterval(acknowledging);
      clearInterval(pinging);
      broadcast.stop();
      for (const socket of [...readers, ...stalled]) socket.destroy();
    }
  });
});

/** What the edge has in memory, MiB. */
function residentMib(): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${platform.edgePid()}/status`, "latin1")) ?? [];
  return Number(kib) / 1024;
}
