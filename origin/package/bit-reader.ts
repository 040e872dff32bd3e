/** Reads bits from the front of `bytes`. Every read past the end, and every number of more than 32 bits, throws in words that name `what` is read. */
export class BitReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #bit = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  /** Bits that are left. */
  get left(): number {
    return this.#bytes.length * 8 - this.#bit;
  }

  /** An unsigned number of up to 32 bits. */
  u(count: number): number {
    let value = 0;
    for (let index = 0; index < count; index++) value = value * 2 + this.#next();
    return value;
  }

  /** One bit as a truth. */
  flag(): boolean {
    return this.#next() === 1;
  }

  /** Throws as well where there are fewer bits than that. */
  skip(count: number): void {
    this.#bit += count;
    if (this.#bit > this.#bytes.length * 8) throw this.#tooShort();
  }

  /** An unsigned Exp-Golomb number. Throws where it is above `max`. */
  ue(max = 0xffffffff): number {
    let zeros = 0;
    while (this.#next() === 0) {
      zeros += 1;
      if (zeros === 32) throw new Error(`${this.#what} has a number of more than 32 bits`);
    }
    const value = 2 ** zeros - 1 + this.u(zeros);
    if (value > max) throw new Error(`${this.#what} has ${value} where at most ${max} can be`);
    return value;
  }

  /** A signed Exp-Golomb number. */
  se(): number {
    const value = this.ue();
    return value % 2 === 1 ? (value + 1) / 2 : -value / 2;
  }

  #next(): number {
    const byte = this.#bytes[this.#bit >> 3];
    if (byte === undefined) throw this.#tooShort();
    const bit = (byte >> (7 - (this.#bit & 7))) & 1;
    this.#bit += 1;
    return bit;
  }

  #tooShort(): Error {
    return new Error(`${this.#what} is too short`);
  }
}

/** What a NAL unit carries, without the bytes that keep start codes out of it (ISO/IEC 14496-10 §7.4.1, 23008-2 §7.4.2). */
export function unescapeNal(unit: Uint8Array, headerSize: number): Uint8Array {
  const payload = new Uint8Array(Math.max(0, unit.length - headerSize));
  let length = 0;
  let zeros = 0;
  for (let at = headerSize; at < unit.length; at++) {
    const byte = unit[at] ?? 0;
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    payload[length] = byte;
    length += 1;
  }
  return payload.subarray(0, length);
}
