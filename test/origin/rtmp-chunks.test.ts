import { describe, expect, it } from "vitest";
import { ChunkReader, type RtmpMessage } from "../../origin/ingest/chunk-reader.ts";
import { encodeChunks, encodeMessage, type Message } from "../fakes/rtmp/chunks.ts";

const VIDEO = 9;
const AUDIO = 8;
const limits = { message: 100_000, chunkStreams: 8, buffers: 300_000 };

/** What comes out of `bytes`, pushed in pieces of `piece`. */
function read(bytes: Buffer, piece = bytes.length): RtmpMessage[] {
  const messages: RtmpMessage[] = [];
  const reader = new ChunkReader(
    () => limits,
    (message) => messages.push({ ...message, payload: Buffer.from(message.payload) }),
  );
  for (let at = 0; at < bytes.length; at += piece) reader.push(bytes.subarray(at, at + piece));
  return messages;
}

function video(timestamp: number, size: number, fill = 7): Message {
  return { type: VIDEO, streamId: 1, timestamp, payload: Buffer.alloc(size, fill) };
}

function chunkSize(size: number, current = 128): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(size);
  return encodeMessage({ type: 1, streamId: 0, timestamp: 0, payload }, { chunkStream: 2, chunkSize: current });
}

describe("chunks", () => {
  it("of all four header formats become messages, whatever the pieces they come in", () => {
    const chunking = { chunkStream: 6, chunkSize: 128 };
    const bytes = Buffer.concat([
      encodeMessage(video(1000, 300, 1), chunking),
      encodeMessage({ ...video(40, 200, 2), type: AUDIO }, { ...chunking, format: 1 }),
      encodeMessage({ ...video(33, 200, 3) }, { ...chunking, format: 2 }),
      encodeMessage({ ...video(0, 200, 4) }, { ...chunking, format: 3 }),
    ]);
    for (const piece of [1, 2, 7, 129, bytes.length]) {
      const messages = read(bytes, piece);
      expect(messages.map(({ type, streamId, timestamp, payload }) => [type, streamId, timestamp, payload.length, payload[0]])).toEqual([
        [VIDEO, 1, 1000, 300, 1],
        [AUDIO, 1, 1040, 200, 2],
        [AUDIO, 1, 1073, 200, 3],
        [AUDIO, 1, 1106, 200, 4],
      ]);
    }
  });

  it("of streams whose ids take one, two and three bytes are told apart", () => {
    const streams = [3, 63, 64, 319, 320, 65_599];
    const chunked = streams.map((chunkStream, index) => encodeChunks(video(index, 300, index), { chunkStream, chunkSize: 128 }));
    const interleaved = [0, 1, 2].flatMap((round) => chunked.map((chunks) => chunks[round] ?? Buffer.alloc(0)));
    expect(read(Buffer.concat(interleaved), 5)).toEqual(streams.map((_, index) => video(index, 300, index)));
  });

  it.each([
    [128, 4096],
    [128, 100],
    [128, 1],
    [500, 300],
    [1, 70_000],
  ])("go on where the chunk size changes from %i to %i inside a message", (before, after) => {
    const message = video(50, 60_000);
    for (let at = 0; at < message.payload.length; at++) message.payload[at] = at % 251;
    const opening = encodeChunks(message, { chunkStream: 6, chunkSize: before }).slice(0, 3);
    const taken = Math.min(3 * before, message.payload.length);
    const rest = encodeChunks({ ...message, payload: message.payload.subarray(taken) }, { chunkStream: 6, chunkSize: after, format: 3 });
    const bytes = Buffer.concat(
      [
        chunkSize(before),
        ...opening,
        chunkSize(after, before),
        ...rest,
        encodeChunks(video(60, 3), { chunkStream: 5, chunkSize: after }),
      ].flat(),
    );
    expect(read(bytes, 1400)).toEqual([message, video(60, 3)]);
  });

  it.each([true, false])("with an extended timestamp are read where continuations repeat it: %s", (repeatsExtended) => {
    for (const timestamp of [0xffffff, 0x01000000, 0x80000000, 0xffffffff]) {
      // Also a last chunk that is shorter than a timestamp.
      for (const size of [128, 129, 131, 300]) {
        const bytes = [0, 1].map(() => encodeMessage(video(timestamp, size, 9), { chunkStream: 6, chunkSize: 128, repeatsExtended }));
        const messages = read(Buffer.concat([...bytes, encodeMessage(video(1, 8), { chunkStream: 7, chunkSize: 128 })]), 3);
        expect(messages).toEqual([video(timestamp, size, 9), video(timestamp, size, 9), video(1, 8)]);
      }
    }
  });

  it("count timestamps past 32 bits from the beginning, and back where a delta wraps around", () => {
    const chunking = { chunkStream: 6, chunkSize: 128 };
    const bytes = Buffer.concat([
      encodeMessage(video(0xfffffff0, 10), chunking),
      encodeMessage(video(0x20, 10), { ...chunking, format: 1 }),
      encodeMessage(video(0xffffffff, 10), { ...chunking, format: 1 }),
    ]);
    expect(read(bytes).map(({ timestamp }) => timestamp)).toEqual([0xfffffff0, 0x10, 0x0f]);
  });

  it("of an aborted message are forgotten, an empty message is one", () => {
    const chunking = { chunkStream: 6, chunkSize: 128 };
    const abort = encodeMessage(
      { type: 2, streamId: 0, timestamp: 0, payload: Buffer.from([0, 0, 0, 6]) },
      { chunkStream: 2, chunkSize: 128 },
    );
    const [begun = Buffer.alloc(0)] = encodeChunks(video(1, 300), chunking);
    expect(read(Buffer.concat([begun, abort, encodeMessage(video(2, 0), chunking)]))).toEqual([video(2, 0)]);
  });

  it.each<[string, Buffer]>([
    ["an aggregate", encodeMessage({ ...video(0, 40), type: 22 }, { chunkStream: 6, chunkSize: 128 })],
    [
      "a header inside a message",
      Buffer.concat([1, 2].map(() => encodeChunks(video(0, 300), { chunkStream: 6, chunkSize: 128 })[0] ?? Buffer.alloc(0))),
    ],
    ["a stream that begins with a continuation", encodeMessage(video(0, 10), { chunkStream: 6, chunkSize: 128, format: 3 })],
    ["a message longer than allowed", encodeMessage(video(0, 10), { chunkStream: 6, chunkSize: 128, length: 100_001 })],
    [
      "more open messages than allowed",
      Buffer.concat([3, 4, 5, 6].map((chunkStream) => encodeMessage(video(0, 128), { chunkStream, chunkSize: 128, length: 90_000 }))),
    ],
    [
      "more chunk streams than allowed",
      Buffer.concat(Array.from({ length: 9 }, (_, id) => encodeMessage(video(0, 1), { chunkStream: 3 + id, chunkSize: 128 }))),
    ],
  ])("that hold %s are refused", (_, bytes) => {
    expect(() => read(bytes)).toThrow(/message|chunk stream/);
  });
});
