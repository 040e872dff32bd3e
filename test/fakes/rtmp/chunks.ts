/** One RTMP message. `timestamp` in milliseconds. */
export interface Message {
  type: number;
  streamId: number;
  timestamp: number;
  payload: Buffer;
}

const EXTENDED = 0xffffff;

/** How a message is cut into chunks. */
export interface Chunking {
  chunkStream: number;
  chunkSize: number;
  /** What the header announces, where it is not the truth. */
  length?: number;
  /** Of the first chunk's header: 0 says all, 1 leaves the stream id out, 2 length and type too, 3 everything. 1 and 2 hold a delta. */
  format?: 0 | 1 | 2 | 3;
  /** Whether the chunks that go on repeat an extended timestamp, as the standard has it; some encoders don't. */
  repeatsExtended?: boolean;
}

/** A message as chunks: a header, then continuations. With the formats 1 and 2 its `timestamp` is the delta to the message before. */
export function encodeMessage(message: Message, chunking: Chunking): Buffer {
  return Buffer.concat(encodeChunks(message, chunking));
}

/** The same, chunk by chunk, for what comes in between. */
export function encodeChunks({ payload, timestamp, type, streamId }: Message, chunking: Chunking): Buffer[] {
  const { chunkStream, chunkSize, format = 0, repeatsExtended = true } = chunking;
  const extended = timestamp >= EXTENDED ? Buffer.alloc(4) : Buffer.alloc(0);
  if (extended.length > 0) extended.writeUInt32BE(timestamp);
  const header = Buffer.alloc(11);
  header.writeUIntBE(Math.min(timestamp, EXTENDED), 0, 3);
  header.writeUIntBE(chunking.length ?? payload.length, 3, 3);
  header.writeUInt8(type, 6);
  header.writeUInt32LE(streamId, 7);
  const fields = header.subarray(0, [11, 7, 3, 0][format]);
  const chunks = [Buffer.concat([encodeBasicHeader(format, chunkStream), fields, extended, payload.subarray(0, chunkSize)])];
  for (let at = chunkSize; at < payload.length; at += chunkSize) {
    const repeated = repeatsExtended ? extended : Buffer.alloc(0);
    chunks.push(Buffer.concat([encodeBasicHeader(3, chunkStream), repeated, payload.subarray(at, at + chunkSize)]));
  }
  return chunks;
}

function encodeBasicHeader(format: number, chunkStream: number): Buffer {
  if (chunkStream < 64) return Buffer.from([(format << 6) | chunkStream]);
  const id = chunkStream - 64;
  return id < 256 ? Buffer.from([format << 6, id]) : Buffer.from([(format << 6) | 1, id & 0xff, id >> 8]);
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
