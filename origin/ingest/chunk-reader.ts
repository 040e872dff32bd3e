import { checkMessage, MessageType, type ReaderLimits } from "./message-limits.ts";
import { ProtocolViolation } from "./protocol-violation.ts";

/** One whole RTMP message. */
export interface RtmpMessage {
  type: number;
  streamId: number;
  /** Milliseconds, unsigned 32 bits; wraps. */
  timestamp: number;
  /** Reused by the next message: copy what is to be kept. */
  payload: Buffer;
}

/** What is remembered of a chunk stream between its chunks. */
interface ChunkStream {
  type: number;
  streamId: number;
  length: number;
  /** The header's timestamp or delta, the extended one where there is one. */
  field: number;
  isExtended: boolean;
  timestamp: number;
  buffer: Buffer;
  /** Bytes of the open message that are here; null between two messages. */
  filled: number | null;
}

const HEADER_BYTES = [11, 7, 3, 0] as const;
const EXTENDED = 0xffffff;
const LARGEST_CHUNK = 0xffffff;
const FIRST_CHUNK_SIZE = 128;
const EMPTY: Buffer = Buffer.alloc(0);

/**
 * Puts RTMP chunks (Adobe's RTMP 1.0, §5.3) together into messages, without socket or clock. Nothing that the peer announces is
 * trusted: lengths, numbers of chunk streams and buffers are bounded before anything is allocated.
 */
export class ChunkReader {
  readonly #limits: () => ReaderLimits;
  readonly #onMessage: (message: RtmpMessage) => void;
  readonly #streams = new Map<number, ChunkStream>();
  #chunkSize = FIRST_CHUNK_SIZE;
  /** The beginning of a chunk's header, where the rest has not come yet. */
  #rest = EMPTY;
  /** The chunk whose payload is being read. */
  #open: { stream: ChunkStream; left: number } | null = null;
  #buffered = 0;

  constructor(limits: () => ReaderLimits, onMessage: (message: RtmpMessage) => void) {
    this.#limits = limits;
    this.#onMessage = onMessage;
  }

  /** Takes the next bytes and reports the messages that are complete. Throws ProtocolViolation, after which the reader is of no use. */
  push(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = EMPTY;
    let at = 0;
    while (at < bytes.length) {
      if (this.#open === null) {
        const size = this.#readHeader(bytes, at);
        if (size === null) {
          // A copy: the bytes may belong to a large read.
          this.#rest = Buffer.from(bytes.subarray(at));
          return;
        }
        at += size;
      } else at += this.#readPayload(bytes, at, this.#open);
      if (this.#open?.left === 0) this.#endChunk(this.#open.stream);
    }
  }

  /** Opens the chunk whose header begins at `at`; how long the header is, or null where it is not all there. */
  #readHeader(bytes: Buffer, at: number): number | null {
    const left = bytes.length - at;
    const first = bytes.readUInt8(at);
    const basic = (first & 63) === 0 ? 2 : (first & 63) === 1 ? 3 : 1;
    const format = first >> 6;
    const size = basic + (HEADER_BYTES[format] ?? 0);
    if (left < size) return null;
    const id = basic === 1 ? first & 63 : 64 + bytes.readUIntLE(at + 1, basic - 1);
    const known = this.#streams.get(id);
    if (known === undefined && format > 1) throw new ProtocolViolation("a chunk stream that begins without a header");
    const isContinuation = known !== undefined && known.filled !== null;
    if (isContinuation && format !== 3) throw new ProtocolViolation("message header inside a message");
    const header = at + basic;
    const short = format === 3 ? EXTENDED : bytes.readUIntBE(header, 3);
    const isExtended = format === 3 ? (known?.isExtended ?? false) : short === EXTENDED;
    if (isExtended && left < size + 4) return null;
    const field = isExtended ? bytes.readUInt32BE(at + size) : format === 3 ? (known?.field ?? 0) : short;
    // Some encoders leave the extended timestamp out of a message's further chunks; what stands there then is payload.
    const isRepeated = isExtended && !(format === 3 && field !== known?.field);

    const stream = known ?? this.#addStream(id);
    if (!isContinuation) {
      stream.isExtended = isExtended;
      if (format < 3) stream.field = field;
      if (format < 2) {
        stream.length = bytes.readUIntBE(header + 3, 3);
        stream.type = bytes.readUInt8(header + 6);
      }
      if (format === 0) stream.streamId = bytes.readUInt32LE(header + 7);
      stream.timestamp = (format === 0 ? stream.field : stream.timestamp + stream.field) % 2 ** 32;
      this.#beginMessage(stream);
    }
    this.#open = { stream, left: Math.min(this.#chunkSize, stream.length - (stream.filled ?? 0)) };
    return size + (isRepeated ? 4 : 0);
  }

  #addStream(id: number): ChunkStream {
    if (this.#streams.size >= this.#limits().chunkStreams) throw new ProtocolViolation("too many chunk streams");
    const stream = { type: 0, streamId: 0, length: 0, field: 0, isExtended: false, timestamp: 0, buffer: EMPTY, filled: null };
    this.#streams.set(id, stream);
    return stream;
  }

  #beginMessage(stream: ChunkStream): void {
    const limits = this.#limits();
    checkMessage(stream.type, stream.length, limits.message);
    if (stream.buffer.length < stream.length) {
      this.#buffered += stream.length - stream.buffer.length;
      if (this.#buffered > limits.buffers) throw new ProtocolViolation("too many open messages");
      stream.buffer = Buffer.allocUnsafe(stream.length);
    }
    stream.filled = 0;
  }

  #readPayload(bytes: Buffer, at: number, open: { stream: ChunkStream; left: number }): number {
    const { stream } = open;
    const count = Math.min(open.left, bytes.length - at);
    bytes.copy(stream.buffer, stream.filled ?? 0, at, at + count);
    stream.filled = (stream.filled ?? 0) + count;
    open.left -= count;
    return count;
  }

  #endChunk(stream: ChunkStream): void {
    this.#open = null;
    if ((stream.filled ?? 0) < stream.length) return;
    stream.filled = null;
    const payload = stream.buffer.subarray(0, stream.length);
    if (stream.type === MessageType.setChunkSize) this.#setChunkSize(payload.readUInt32BE(0));
    else if (stream.type === MessageType.abort) this.#abort(payload.readUInt32BE(0));
    else this.#onMessage({ type: stream.type, streamId: stream.streamId, timestamp: stream.timestamp, payload });
  }

  /** Counts from the next chunk on, also of a message that is half read. */
  #setChunkSize(size: number): void {
    if (size < 1 || size > LARGEST_CHUNK) throw new ProtocolViolation("chunk size out of range");
    this.#chunkSize = size;
  }

  #abort(id: number): void {
    const stream = this.#streams.get(id);
    if (stream) stream.filled = null;
  }
}
