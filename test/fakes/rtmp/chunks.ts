/** One RTMP message. `timestamp` in milliseconds. */
export interface Message {
  type: number;
  streamId: number;
  timestamp: number;
  payload: Buffer;
}

const EXTENDED = 0xffffff;

/** A message as chunks: a full header (fmt 0), then continuations (fmt 3). `length` may lie about the payload. */
export function encodeMessage(message: Message, options: { chunkStream: number; chunkSize: number; length?: number }): Buffer {
  const { payload, timestamp } = message;
  const extended = timestamp >= EXTENDED ? Buffer.alloc(4) : Buffer.alloc(0);
  if (extended.length > 0) extended.writeUInt32BE(timestamp);
  const header = Buffer.alloc(11);
  header.writeUIntBE(Math.min(timestamp, EXTENDED), 0, 3);
  header.writeUIntBE(options.length ?? payload.length, 3, 3);
  header.writeUInt8(message.type, 6);
  header.writeUInt32LE(message.streamId, 7);
  const pieces = [encodeBasicHeader(0, options.chunkStream), header, extended, payload.subarray(0, options.chunkSize)];
  for (let at = options.chunkSize; at < payload.length; at += options.chunkSize) {
    pieces.push(encodeBasicHeader(3, options.chunkStream), extended, payload.subarray(at, at + options.chunkSize));
  }
  return Buffer.concat(pieces);
}

function encodeBasicHeader(fmt: number, chunkStream: number): Buffer {
  return chunkStream < 64 ? Buffer.from([(fmt << 6) | chunkStream]) : Buffer.from([fmt << 6, chunkStream - 64]);
}

/** Reads what a server sends: whole headers (fmt 0) and their continuations, on chunk streams below 64. */
export class ChunkReader {
  readonly #onMessage: (message: Message) => void;
  #chunkSize = 128;
  #bytes: Buffer = Buffer.alloc(0);
  #open: { message: Message; length: number } | null = null;

  constructor(onMessage: (message: Message) => void) {
    this.#onMessage = onMessage;
  }

  push(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#readChunk());
  }

  #readChunk(): boolean {
    const bytes = this.#bytes;
    if (bytes.length < 1) return false;
    const fmt = bytes.readUInt8(0) >> 6;
    if (fmt !== 0 && fmt !== 3) throw new Error(`the server sent a chunk of format ${fmt}`);
    let at = 1;
    let open = this.#open;
    if (fmt === 0) {
      if (bytes.length < 12) return false;
      const message = {
        type: bytes.readUInt8(7),
        streamId: bytes.readUInt32LE(8),
        timestamp: bytes.readUIntBE(1, 3),
        payload: Buffer.alloc(0),
      };
      open = { message, length: bytes.readUIntBE(4, 3) };
      at = 12;
    }
    if (!open) throw new Error("the server continued a message that it never began");
    const size = Math.min(this.#chunkSize, open.length - open.message.payload.length);
    if (bytes.length < at + size) return false;
    open.message.payload = Buffer.concat([open.message.payload, bytes.subarray(at, at + size)]);
    this.#bytes = bytes.subarray(at + size);
    this.#open = open;
    if (open.message.payload.length === open.length) {
      this.#open = null;
      if (open.message.type === 1) this.#chunkSize = open.message.payload.readUInt32BE(0);
      this.#onMessage(open.message);
    }
    return true;
  }
}
