/** Kinds of open bitstream units (AV1 §6.2.2). */
export const OBU = {
  sequenceHeader: 1,
  temporalDelimiter: 2,
  frameHeader: 3,
  frame: 6,
  tileList: 8,
  padding: 15,
} as const;

const MAX_SIZE_BYTES = 8;

/** Goes through the OBUs of a sample without copying. Ends at the first one that does not fit. */
export class ObuCursor {
  readonly #bytes: Uint8Array;
  type = 0;
  /** Where the OBU begins, where what it carries begins, and where it ends. */
  start = 0;
  body = 0;
  end = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Goes to the next one; false at the end. */
  next(): boolean {
    const bytes = this.#bytes;
    const header = bytes[this.end];
    if (header === undefined || (header & 0x80) !== 0) return false;
    let at = this.end + ((header & 4) === 0 ? 1 : 2);
    let size = bytes.length - at;
    if ((header & 2) !== 0) {
      size = 0;
      for (let index = 0; ; index++, at++) {
        const byte = bytes[at];
        if (byte === undefined || index === MAX_SIZE_BYTES) return false;
        size += (byte & 0x7f) * 2 ** (7 * index);
        if ((byte & 0x80) === 0) break;
      }
      at += 1;
    }
    if (size < 0 || at + size > bytes.length) return false;
    this.type = (header >> 3) & 15;
    this.start = this.end;
    this.body = at;
    this.end = at + size;
    return true;
  }
}
