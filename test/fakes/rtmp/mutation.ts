import { encodeAmf0 } from "./amf0.ts";
import { encodeMessage } from "./chunks.ts";
import type { FlvTag } from "./flv-tags.ts";

/** Everything that an encoder sends, from its first byte on: handshake, commands as FFmpeg gives them, `tags`, the end. */
export function encodeSession(key: string, tags: FlvTag[]): Buffer {
  const command = (name: string, transaction: number, ...values: Parameters<typeof encodeAmf0>): Buffer =>
    encodeMessage(
      { type: 20, streamId: name === "publish" ? 1 : 0, timestamp: 0, payload: encodeAmf0(name, transaction, ...values) },
      { chunkStream: 3, chunkSize: 128 },
    );
  return Buffer.concat([
    Buffer.concat([Buffer.from([3]), Buffer.alloc(2 * 1536, 5)]),
    command("connect", 1, { app: "live", type: "nonprivate", flashVer: "Test/1.0", tcUrl: "rtmp://127.0.0.1/live" }),
    command("releaseStream", 2, null, key),
    command("FCPublish", 3, null, key),
    command("createStream", 4, null),
    command("_checkbw", 5, null),
    command("publish", 6, null, key, "live"),
    ...tags.map(({ type, timestamp, data }) =>
      encodeMessage({ type, streamId: 1, timestamp, payload: data }, { chunkStream: type === 9 ? 6 : 4, chunkSize: 128 }),
    ),
    command("FCUnpublish", 7, null, key),
    command("deleteStream", 8, null, 1),
  ]);
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `bytes` with one to eight faults at or after `from`: flipped, overwritten, dropped, repeated and inserted bytes, or cut short. */
export function mutate(bytes: Buffer, from: number, random: () => number): Buffer {
  let mutated = Buffer.from(bytes);
  const faults = 1 + Math.floor(random() * 8);
  for (let fault = 0; fault < faults; fault++) {
    if (mutated.length === 0) break;
    const at = Math.min(mutated.length - 1, from + Math.floor(random() ** 2 * Math.max(0, mutated.length - from)));
    const length = 1 + Math.floor(random() * 16);
    const rest = mutated.subarray(at + length);
    const kind = Math.floor(random() * 6);
    if (kind === 0) mutated.writeUInt8(mutated.readUInt8(at) ^ (1 << Math.floor(random() * 8)), at);
    else if (kind === 1) mutated.fill(random() < 0.5 ? 0xff : 0, at, Math.min(at + length, mutated.length));
    else if (kind === 2) mutated = Buffer.concat([mutated.subarray(0, at), rest]);
    else if (kind === 3) mutated = Buffer.concat([mutated.subarray(0, at + length), mutated.subarray(at)]);
    else if (kind === 4) mutated = Buffer.concat([mutated.subarray(0, at), encodeNoise(length, random), mutated.subarray(at)]);
    else if (random() < 0.2) mutated = mutated.subarray(0, at + 1);
  }
  return mutated;
}

function encodeNoise(length: number, random: () => number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}
