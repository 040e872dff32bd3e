import { z } from "zod";

/**
 * The frames between the ingest process and the origin: type (1 byte), length (4 bytes, big endian), payload.
 * One link carries one publish. The ingest sends `hello`, `media` and `end`; the origin answers `accept`, `refuse`, `stop` and `reconnect`.
 */
export const FrameType = { hello: 1, media: 2, end: 3, accept: 4, refuse: 5, stop: 6, reconnect: 7 } as const;

/** The payload of `hello`, as JSON. The only place where the stream key travels. */
export const Hello = z.object({
  id: z.string().min(1).max(64),
  stream_key: z.string().min(1).max(256),
  remote_address: z.string().max(64),
  software: z.string().max(128).nullable(),
  backup: z.boolean(),
  can_reconnect: z.boolean(),
});
export type Hello = z.infer<typeof Hello>;

/** The payload of `end`, as JSON. */
export const End = z.object({
  reason: z.enum(["unpublished", "connection_lost", "idle"]),
  message: z.string().max(300).nullable(),
});
export type End = z.infer<typeof End>;

/** The payload of `refuse`, `stop` and `reconnect`, as JSON. */
export const Words = z.object({ message: z.string().max(300) });

const HEADER = 5;

/** A frame in two pieces, so that media is not copied; write them under one cork. */
export function encodeFrame(type: number, payload: Buffer): [header: Buffer, payload: Buffer] {
  const header = Buffer.allocUnsafe(HEADER);
  header.writeUInt8(type, 0);
  header.writeUInt32BE(payload.length, 1);
  return [header, payload];
}

/** A frame whose payload is JSON. */
export function encodeJsonFrame(type: number, value: object): Buffer {
  return Buffer.concat(encodeFrame(type, Buffer.from(JSON.stringify(value))));
}

/** Cuts a byte stream into frames. Throws on a frame longer than `longest` bytes. */
export class FrameReader {
  readonly #longest: number;
  readonly #onFrame: (type: number, payload: Buffer) => void;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #wanted = HEADER;

  constructor(longest: number, onFrame: (type: number, payload: Buffer) => void) {
    this.#longest = longest;
    this.#onFrame = onFrame;
  }

  /** Takes the next bytes and reports the frames that are complete. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    if (this.#buffered < this.#wanted) return;
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    while (bytes.length >= HEADER) {
      const length = bytes.readUInt32BE(1);
      if (length > this.#longest) throw new RangeError(`a frame of ${length} bytes`);
      if (bytes.length < HEADER + length) break;
      this.#onFrame(bytes.readUInt8(0), bytes.subarray(HEADER, HEADER + length));
      bytes = bytes.subarray(HEADER + length);
    }
    this.#chunks = bytes.length > 0 ? [bytes] : [];
    this.#buffered = bytes.length;
    this.#wanted = bytes.length >= HEADER ? HEADER + bytes.readUInt32BE(1) : HEADER;
  }
}
