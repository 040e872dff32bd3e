/** Where a box lies in its buffer: `start` at its size field, `body` after its header, `end` past its last byte. */
export interface Box {
  type: string;
  start: number;
  body: number;
  end: number;
}

const MAX_BOX_BYTES = 64 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);

/** Size and type of the box whose header begins at `offset`; null where the header is not whole yet. Throws on a size that no box can have. */
function readHeader(buffer: Buffer, offset: number, end: number): { type: string; size: number; headerSize: number } | null {
  if (end - offset < 8) return null;
  const size = buffer.readUInt32BE(offset);
  const type = buffer.toString("latin1", offset + 4, offset + 8);
  if (size === 0) throw new Error(`MP4 box ${printable(type)} has no size`);
  if (size !== 1) {
    if (size < 8) throw new Error(`MP4 box ${printable(type)} claims ${size} bytes`);
    return { type, size, headerSize: 8 };
  }
  if (end - offset < 16) return null;
  const large = buffer.readBigUInt64BE(offset + 8);
  if (large < 16n || large > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`MP4 box ${printable(type)} claims ${large} bytes`);
  return { type, size: Number(large), headerSize: 16 };
}

function printable(type: string): string {
  return JSON.stringify(type.replace(/[^\x20-\x7e]/g, "?"));
}

/** Cuts a byte stream into whole top-level boxes. Holds at most one unfinished box (64 MiB). */
export class BoxSplitter {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #needed = 8;

  /** Whole boxes that `bytes` completed, each in a buffer of its own. Throws where the stream is no MP4. */
  push(bytes: Uint8Array): { type: string; bytes: Buffer }[] {
    this.#chunks.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.#bytes += bytes.byteLength;
    if (this.#bytes < this.#needed) return [];
    const buffer = this.#chunks.length === 1 ? (this.#chunks[0] ?? EMPTY) : Buffer.concat(this.#chunks, this.#bytes);
    const boxes: { type: string; bytes: Buffer }[] = [];
    let offset = 0;
    for (;;) {
      const header = readHeader(buffer, offset, buffer.length);
      if (header === null) {
        this.#needed = buffer.length - offset < 8 ? 8 : 16;
        break;
      }
      if (header.size > MAX_BOX_BYTES) throw new Error(`MP4 box ${printable(header.type)} claims ${header.size} bytes`);
      if (buffer.length - offset < header.size) {
        this.#needed = header.size;
        break;
      }
      boxes.push({ type: header.type, bytes: buffer.subarray(offset, offset + header.size) });
      offset += header.size;
    }
    const rest = buffer.subarray(offset);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
    return boxes;
  }
}

/** The boxes between `start` and `end`, in order. Throws where one does not fit. */
export function listBoxes(buffer: Buffer, start: number, end: number): Box[] {
  if (start < 0 || start > end || end > buffer.length) throw new Error("MP4 box bounds lie outside of the buffer");
  const boxes: Box[] = [];
  let offset = start;
  while (offset < end) {
    const header = readHeader(buffer, offset, end);
    if (header === null || header.size < header.headerSize || header.size > end - offset) {
      throw new Error(`MP4 box at ${offset} does not fit into the one around it`);
    }
    boxes.push({ type: header.type, start: offset, body: offset + header.headerSize, end: offset + header.size });
    offset += header.size;
  }
  return boxes;
}

/** The only child of that type. Throws where there is none, or more than one. */
export function onlyBox(buffer: Buffer, parent: { body: number; end: number }, type: string): Box {
  const found = listBoxes(buffer, parent.body, parent.end).filter((box) => box.type === type);
  const [box] = found;
  if (box === undefined || found.length > 1) throw new Error(`expected one ${type} box, found ${found.length}`);
  return box;
}

/** One box as a whole buffer. */
export function encodeBox(type: string, ...parts: Uint8Array[]): Buffer {
  const header = Buffer.alloc(8);
  const size = parts.reduce((sum, part) => sum + part.byteLength, 8);
  header.writeUInt32BE(size, 0);
  header.write(type, 4, 4, "latin1");
  return Buffer.concat([header, ...parts], size);
}
