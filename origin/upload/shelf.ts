import { Kept } from "./kept.ts";
import type { Spool } from "./spool.ts";

/** What one epoch has in the spool. */
export class Shelf {
  readonly #spool: Spool;
  readonly #onClose: () => void;
  /** In the order in which it came. */
  readonly #kept = new Set<Kept>();
  readonly dropParts: () => void;
  #bytes = 0;

  constructor(spool: Spool, dropParts: () => void, onClose: () => void) {
    this.#spool = spool;
    this.dropParts = dropParts;
    this.#onClose = onClose;
  }

  /** Bytes that wait, wherever they are. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of it that wait on disk. */
  get diskBytes(): number {
    let sum = 0;
    for (const kept of this.#kept) sum += kept.file === null ? 0 : kept.size;
    return sum;
  }

  /** Keeps a part, in memory, until it is released. */
  keepPart(bytes: Uint8Array): Kept {
    return this.#keep(new Kept(this.#spool, this, bytes, null));
  }

  /** Keeps a segment, until it is released or given up. */
  keepSegment(bytes: Uint8Array, onGivenUp: () => void): Kept {
    return this.#keep(new Kept(this.#spool, this, bytes, { onGivenUp }));
  }

  /** The oldest segment that is not being sent. */
  oldest(inMemory: boolean): Kept | null {
    for (const kept of this.#kept) {
      if (kept.spills && !kept.busy && !kept.writing && (!inMemory || kept.file === null)) return kept;
    }
    return null;
  }

  /** For the spool: it is released. */
  delete(kept: Kept): void {
    if (this.#kept.delete(kept)) this.#bytes -= kept.size;
  }

  /** Releases all that is left. */
  close(): void {
    for (const kept of [...this.#kept]) kept.release();
    this.#onClose();
  }

  #keep(kept: Kept): Kept {
    this.#kept.add(kept);
    this.#bytes += kept.size;
    this.#spool.add(kept);
    return kept;
  }
}
