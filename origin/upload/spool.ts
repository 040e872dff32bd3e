import type { Log } from "../log.ts";
import { ByteGate } from "./byte-gate.ts";
import { BytesLost, type Kept } from "./kept.ts";
import { Shelf } from "./shelf.ts";
import { SpoolDirectory } from "./spool-directory.ts";

/** How much may wait for the edge, of all streams together. */
export interface SpoolOptions {
  directory: string;
  memoryBytes: number;
  /** 0: nothing goes to disk. */
  diskBytes: number;
  log: Log;
}

// Shares of the bound of memory: what waits moves to disk from the first on, and is given up from the second on. The rest is for
// what is being written, which is still in memory, and for what is being sent from disk, which is there again.
const SPILL_AT = 1 / 2;
const GIVE_UP_AT = 5 / 8;
const WRITING = 1 / 4;
const SENDING = 1 / 8;
/** Segments under way at a time: more would only make each of them slow where the line is narrow. */
const MAX_SENDING_BYTES = 16 << 20;

/**
 * Where the media of all streams waits for an edge that is away or slow: in memory up to a bound, then on disk, up to another. Beyond
 * both, or where the disk fails, the stream that uses most loses its oldest segments.
 */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #directory: SpoolDirectory | null;
  readonly #shelves = new Set<Shelf>();
  /** Segments in memory that nothing happens to, the oldest first. */
  readonly #spillable = new Set<Kept>();
  readonly #sending: ByteGate;
  readonly #writes = new Set<Promise<void>>();
  #memory = 0;
  #writing = 0;
  #disk = 0;

  private constructor(options: SpoolOptions, directory: SpoolDirectory | null) {
    this.#options = options;
    this.#directory = directory;
    this.#sending = new ByteGate(Math.min(MAX_SENDING_BYTES, options.memoryBytes * SENDING));
  }

  /** Makes the directory, and removes what an origin that was killed has left in it. Where the disk does not work there is an alarm, not an error. */
  static async open(options: SpoolOptions): Promise<Spool> {
    return new Spool(options, options.diskBytes > 0 ? await SpoolDirectory.open(options.directory, options.log) : null);
  }

  /** Bytes that wait in memory. */
  get memoryUsed(): number {
    return this.#memory;
  }

  /** Bytes on disk, those being written included. */
  get diskUsed(): number {
    return this.#disk;
  }

  /** What is wrong with the disk, in words for the operator; null where nothing is. */
  get alarm(): string | null {
    return this.#directory?.alarm ?? null;
  }

  /** A place for what one epoch sends. `dropParts` makes room: a segment carries its parts too. */
  shelf(dropParts: () => void): Shelf {
    const shelf = new Shelf(this, dropParts, () => this.#shelves.delete(shelf));
    this.#shelves.add(shelf);
    return shelf;
  }

  /** Removes all files. */
  async close(): Promise<void> {
    for (const shelf of [...this.#shelves]) shelf.close();
    await Promise.all(this.#writes);
    await this.#directory?.close();
  }

  /** For shelves: bytes have come. */
  add(kept: Kept): void {
    this.#memory += kept.size;
    if (kept.spills) this.#spillable.add(kept);
    this.#balance();
  }

  /** For what is kept: lends the bytes to a call. */
  use<Value>(kept: Kept, signal: AbortSignal, call: (bytes: Uint8Array) => Promise<Value>): Promise<Value> {
    if (!kept.spills) return this.#lend(kept, call);
    return this.#sending.pass(kept.size, signal, () => this.#lend(kept, call));
  }

  /** For what is kept: the bytes are no longer needed. */
  release(kept: Kept): void {
    if (kept.lost) return;
    kept.lost = true;
    kept.shelf.delete(kept);
    this.#spillable.delete(kept);
    if (kept.bytes !== null && !kept.writing) this.#forget(kept);
    if (kept.file !== null) this.#removeFile(kept, kept.file);
  }

  async #lend<Value>(kept: Kept, call: (bytes: Uint8Array) => Promise<Value>): Promise<Value> {
    const bytes = kept.bytes ?? (await this.#read(kept));
    if (kept.lost) throw new BytesLost("given_up", "given up to make room");
    kept.busy = true;
    this.#spillable.delete(kept);
    try {
      return await call(bytes);
    } finally {
      kept.busy = false;
      if (!kept.lost && kept.bytes !== null && kept.spills && !kept.writing) this.#spillable.add(kept);
    }
  }

  async #read(kept: Kept): Promise<Uint8Array> {
    const { file, size } = kept;
    if (file === null || this.#directory === null) throw new BytesLost("given_up", "given up to make room");
    try {
      return await this.#directory.read(file, size);
    } catch (error) {
      // Given up while it was being read, it is gone on purpose.
      if (kept.lost) throw new BytesLost("given_up", "given up to make room");
      throw new BytesLost("unreadable", error instanceof Error ? error.message : "the spool cannot be read");
    }
  }

  /** Moves to disk what is too much for memory; gives up what is too much for both. */
  #balance(): void {
    this.#spill();
    if (!this.#isOverfull()) return;
    for (const shelf of this.#shelves) shelf.dropParts();
    while (this.#isOverfull() && this.#giveUpOldest()) this.#spill();
  }

  #isOverfull(): boolean {
    const { memoryBytes } = this.#options;
    // Where nothing is written, that share is free for what waits.
    if (!this.#diskWorks()) return this.#memory > memoryBytes * (1 - SENDING);
    return this.#memory - this.#writing > memoryBytes * GIVE_UP_AT;
  }

  #diskWorks(): boolean {
    return this.#directory !== null && this.#directory.alarm === null;
  }

  #spill(): void {
    const { memoryBytes, diskBytes } = this.#options;
    for (const kept of this.#spillable) {
      if (this.#memory - this.#writing <= memoryBytes * SPILL_AT || !this.#canWrite(kept.size)) return;
      if (this.#disk + kept.size > diskBytes) return;
      const write = this.#write(kept).finally(() => this.#writes.delete(write));
      this.#writes.add(write);
    }
  }

  #canWrite(size: number): boolean {
    const free = this.#options.memoryBytes * WRITING - this.#writing;
    return this.#diskWorks() && (this.#writing === 0 || size <= free);
  }

  async #write(kept: Kept): Promise<void> {
    const { bytes, size } = kept;
    if (bytes === null || this.#directory === null) return;
    this.#spillable.delete(kept);
    kept.writing = true;
    this.#writing += size;
    this.#disk += size;
    const file = await this.#directory.write(bytes);
    kept.writing = false;
    this.#writing -= size;
    if (file === null) this.#disk -= size;
    else if (kept.lost || kept.busy) this.#removeFile(kept, file);
    else kept.file = file;
    if (kept.lost || kept.file !== null) this.#forget(kept);
    else if (!kept.busy) this.#spillable.add(kept);
    this.#balance();
  }

  /** Whether there was something that could be given up. */
  #giveUpOldest(): boolean {
    // Room on disk helps only where there is something in memory that can be moved there now.
    const [next] = this.#spillable;
    const fromMemory = next === undefined || !this.#canWrite(next.size);
    for (const shelf of [...this.#shelves].sort((a, b) => b.bytes - a.bytes)) {
      const oldest = shelf.oldest(fromMemory);
      if (oldest === null) continue;
      oldest.giveUp();
      return true;
    }
    return false;
  }

  #forget(kept: Kept): void {
    kept.bytes = null;
    this.#memory -= kept.size;
  }

  #removeFile(kept: Kept, file: string): void {
    kept.file = null;
    this.#disk -= kept.size;
    void this.#directory?.remove(file);
  }
}
