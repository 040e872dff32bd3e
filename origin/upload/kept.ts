import type { Shelf } from "./shelf.ts";
import type { Spool } from "./spool.ts";

/** The bytes were given up to make room, or the disk has lost them. */
export class BytesLost extends Error {
  override readonly name = "BytesLost";
  readonly reason: "given_up" | "unreadable";

  constructor(reason: "given_up" | "unreadable", message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Bytes that wait for the edge: in memory, being written, on disk, or given up. */
export class Kept {
  readonly size: number;
  readonly shelf: Shelf;
  /** Whether the disk may have it. */
  readonly spills: boolean;
  readonly #spool: Spool;
  readonly #onGivenUp: () => void;
  bytes: Uint8Array | null;
  file: string | null = null;
  writing = false;
  /** It is being sent right now. */
  busy = false;
  lost = false;

  constructor(spool: Spool, shelf: Shelf, bytes: Uint8Array, segment: { onGivenUp(): void } | null) {
    this.#spool = spool;
    this.shelf = shelf;
    this.bytes = bytes;
    this.size = bytes.length;
    this.spills = segment !== null;
    this.#onGivenUp = segment?.onGivenUp ?? (() => undefined);
  }

  /** Lends the bytes to one call, in its turn; at once where `signal` is aborted. Rejects with `BytesLost` where they are gone. */
  use<Value>(signal: AbortSignal, call: (bytes: Uint8Array) => Promise<Value>): Promise<Value> {
    return this.#spool.use(this, signal, call);
  }

  /** They are no longer needed. */
  release(): void {
    this.#spool.release(this);
  }

  /** Makes room; who waits for them is told. */
  giveUp(): void {
    this.release();
    this.#onGivenUp();
  }
}
