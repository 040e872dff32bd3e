/** Bits into bytes, the highest first, with the codes of H.264 (§9.1). */
export class BitWriter {
  readonly #bytes: number[] = [];
  #open = 0;
  #openBits = 0;

  /** The lowest `count` (at most 32) bits of `value`. */
  bits(count: number, value: number): this {
    for (let bit = count - 1; bit >= 0; bit--) {
      this.#open = (this.#open << 1) | (Math.floor(value / 2 ** bit) & 1);
      if (++this.#openBits === 8) {
        this.#bytes.push(this.#open);
        this.#open = 0;
        this.#openBits = 0;
      }
    }
    return this;
  }

  flag(value: boolean): this {
    return this.bits(1, value ? 1 : 0);
  }

  /** Unsigned Exp-Golomb: `ue(v)`. */
  ue(value: number): this {
    const length = 32 - Math.clz32(value + 1);
    return this.bits(length - 1, 0).bits(length, value + 1);
  }

  /** Signed Exp-Golomb: `se(v)`. */
  se(value: number): this {
    return this.ue(value > 0 ? 2 * value - 1 : -2 * value);
  }

  /** Whole bytes, after zero bits up to a byte's edge. */
  alignedBytes(bytes: Iterable<number>): this {
    if (this.#openBits > 0) this.bits(8 - this.#openBits, 0);
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  /** What was written, ended by `rbsp_trailing_bits`. */
  trailed(): Buffer {
    this.bits(1, 1);
    if (this.#openBits > 0) this.bits(8 - this.#openBits, 0);
    return Buffer.from(this.#bytes);
  }
}
