/** A decoded AMF0 value; kinds that metadata does not need come out as null. */
export type Amf0Value = number | boolean | string | null | Amf0Value[] | Map<string, Amf0Value>;

const MAX_DEPTH = 8;
const MAX_MEMBERS = 1000;

/** The values at the front of an AMF0 body, up to the first that cannot be read: metadata is a courtesy and never an error. */
export function parseAmf0(body: Buffer): Amf0Value[] {
  const reader = new Amf0Reader(body);
  const values: Amf0Value[] = [];
  try {
    while (!reader.atEnd && values.length < MAX_MEMBERS) values.push(reader.value(0));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return values;
}

/** Every read past the end is a RangeError, from Buffer itself. */
class Amf0Reader {
  readonly #body: Buffer;
  #offset = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  get atEnd(): boolean {
    return this.#offset >= this.#body.length;
  }

  value(depth: number): Amf0Value {
    if (depth > MAX_DEPTH) throw new RangeError("AMF0 nests too deep");
    switch (this.#body.readUInt8(this.#skip(1))) {
      case 0:
        return this.#body.readDoubleBE(this.#skip(8));
      case 1:
        return this.#body.readUInt8(this.#skip(1)) !== 0;
      case 2:
        return this.#text(this.#body.readUInt16BE(this.#skip(2)));
      case 3:
        return this.#members(depth);
      case 5:
      case 6:
        return null;
      case 8:
        this.#skip(4);
        return this.#members(depth);
      case 10:
        return this.#list(depth);
      case 11:
        this.#skip(10);
        return null;
      case 12:
        return this.#text(this.#body.readUInt32BE(this.#skip(4)));
      default:
        throw new RangeError("AMF0 kind is not known");
    }
  }

  #skip(bytes: number): number {
    const at = this.#offset;
    this.#offset += bytes;
    return at;
  }

  #text(length: number): string {
    const at = this.#skip(length);
    if (this.#offset > this.#body.length) throw new RangeError("AMF0 text is cut off");
    return this.#body.toString("utf8", at, at + length);
  }

  #members(depth: number): Map<string, Amf0Value> {
    const members = new Map<string, Amf0Value>();
    while (members.size < MAX_MEMBERS) {
      const name = this.#text(this.#body.readUInt16BE(this.#skip(2)));
      if (name === "" && this.#body.readUInt8(this.#offset) === 9) {
        this.#skip(1);
        return members;
      }
      members.set(name, this.value(depth + 1));
    }
    throw new RangeError("AMF0 object has too many members");
  }

  #list(depth: number): Amf0Value[] {
    const count = this.#body.readUInt32BE(this.#skip(4));
    if (count > MAX_MEMBERS) throw new RangeError("AMF0 array has too many members");
    return Array.from({ length: count }, () => this.value(depth + 1));
  }
}
