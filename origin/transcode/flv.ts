/** One FLV tag. */
export interface FlvTag {
  type: "audio" | "video" | "script";
  /** Milliseconds, unwrapped across 2³²; may be negative at the start. */
  timestamp: number;
  /** The tag's body. */
  data: Buffer;
  /** The tag as it came, with the length behind it. */
  raw: Buffer;
}

const TAG_HEADER_BYTES = 11;
const LENGTH_BYTES = 4;
const MAX_TAG_BYTES = 16 * 1024 * 1024;
const MAX_HEADER_BYTES = 64;
const TAG_TYPES: Record<number, FlvTag["type"]> = { 8: "audio", 9: "video", 18: "script" };
const EMPTY = Buffer.alloc(0);

/** Cuts an FLV byte stream into tags; the file header may be there or not. Holds at most one unfinished tag (16 MiB). */
export class FlvReader {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #needed = LENGTH_BYTES;
  #inHeader = true;
  #lastTimestamp: number | null = null;

  /** Tags that `bytes` completed; unknown kinds are left out. Throws where the stream is no FLV. */
  push(bytes: Buffer): FlvTag[] {
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes < this.#needed) return [];
    const buffer = this.#chunks.length === 1 ? (this.#chunks[0] ?? EMPTY) : Buffer.concat(this.#chunks, this.#bytes);
    const tags: FlvTag[] = [];
    let offset = 0;
    for (;;) {
      const size = this.#inHeader ? headerSize(buffer) : tagSize(buffer, offset);
      if (typeof size !== "number") {
        this.#needed = size.needed;
        break;
      }
      if (buffer.length - offset < size) {
        this.#needed = size;
        break;
      }
      const tag = this.#inHeader ? null : this.#tag(buffer.subarray(offset, offset + size));
      this.#inHeader = false;
      if (tag !== null) tags.push(tag);
      offset += size;
    }
    const rest = buffer.subarray(offset);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
    return tags;
  }

  #tag(raw: Buffer): FlvTag | null {
    const kind = raw.readUInt8(0);
    if (kind & 0x20) throw new Error("encrypted FLV is not supported");
    const type = TAG_TYPES[kind & 0x1f];
    if (type === undefined) return null;
    const bits = raw.readUIntBE(4, 3) | (raw.readUInt8(7) << 24);
    // Metadata in mid-stream often says 0, which is nowhere near.
    const timestamp = type === "script" ? (this.#lastTimestamp ?? 0) : this.#unwrap(bits);
    return { type, timestamp, data: raw.subarray(TAG_HEADER_BYTES, raw.length - LENGTH_BYTES), raw };
  }

  /** `timestamp` as a signed 32-bit number; the nearest to the last one wins. */
  #unwrap(timestamp: number): number {
    const last = this.#lastTimestamp;
    const unwrapped = last === null ? timestamp : last + ((timestamp - (last | 0)) | 0);
    this.#lastTimestamp = unwrapped;
    return unwrapped;
  }
}

/** Bytes before the first tag: the header and the length behind it, that length alone, or nothing. */
function headerSize(buffer: Buffer): number | { needed: number } {
  if (buffer.length < LENGTH_BYTES) return { needed: LENGTH_BYTES };
  if (buffer.toString("latin1", 0, 3) === "FLV") {
    if (buffer.length < 9) return { needed: 9 };
    const size = buffer.readUInt32BE(5);
    if (size < 9 || size > MAX_HEADER_BYTES) throw new Error(`FLV header claims ${size} bytes`);
    return size + LENGTH_BYTES;
  }
  return buffer.readUInt32BE(0) === 0 ? LENGTH_BYTES : 0;
}

function tagSize(buffer: Buffer, offset: number): number | { needed: number } {
  if (buffer.length - offset < TAG_HEADER_BYTES) return { needed: TAG_HEADER_BYTES };
  const kind = buffer.readUInt8(offset) & 0x1f;
  if (kind === 0 || (kind > 18 && kind !== 31)) throw new Error(`FLV has no tag type ${kind}`);
  if (buffer.readUIntBE(offset + 8, 3) !== 0) throw new Error("FLV tag has a stream id");
  const size = buffer.readUIntBE(offset + 1, 3);
  if (size > MAX_TAG_BYTES) throw new Error(`FLV tag claims ${size} bytes`);
  return TAG_HEADER_BYTES + size + LENGTH_BYTES;
}

/** An FLV file header with exactly the flags of the tracks that follow. */
export function encodeFlvHeader(tracks: { video: boolean; audio: boolean }): Buffer {
  const header = Buffer.from("FLV\x01\0\0\0\0\x09\0\0\0\0", "latin1");
  header.writeUInt8((tracks.video ? 1 : 0) | (tracks.audio ? 4 : 0), 4);
  return header;
}

/** A tag with the length behind it; `timestamp` in milliseconds, of which 32 bits are kept. */
export function encodeFlvTag(type: "audio" | "video", timestamp: number, body: Buffer): Buffer {
  const tag = Buffer.allocUnsafe(TAG_HEADER_BYTES + body.length + LENGTH_BYTES);
  tag.writeUInt8(type === "audio" ? 8 : 9, 0);
  tag.writeUIntBE(body.length, 1, 3);
  const bits = (timestamp % 2 ** 32) >>> 0;
  tag.writeUIntBE(bits & 0xffffff, 4, 3);
  tag.writeUInt8(bits >>> 24, 7);
  tag.writeUIntBE(0, 8, 3);
  body.copy(tag, TAG_HEADER_BYTES);
  tag.writeUInt32BE(TAG_HEADER_BYTES + body.length, TAG_HEADER_BYTES + body.length);
  return tag;
}
