import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../log.ts";

/** Files of the spool; nothing else in the directory is touched. */
const OWN = /^spooled-\d+\.m4s$/;
/** After a failure the disk is tried again so often. */
const CHECK_MS = 2_000;
/** A check writes as much as failed, at most this. */
const MAX_CHECK_BYTES = 4 << 20;

/** A directory that holds media for its owner only. It belongs to one origin at a time. What goes wrong with it is an alarm, never an error. */
export class SpoolDirectory {
  readonly #path: string;
  readonly #log: Log;
  #number = 0;
  #alarm: string | null = null;
  #check: NodeJS.Timeout | null = null;
  #checkBytes = 0;

  private constructor(path: string, log: Log) {
    // Not the directory itself: its rights are somebody else's affair.
    this.#path = join(path, "media");
    this.#log = log;
  }

  /** Makes the directory, and removes what an origin that was killed has left in it. */
  static async open(path: string, log: Log): Promise<SpoolDirectory> {
    const directory = new SpoolDirectory(path, log);
    await directory.#prepare().catch((error: unknown) => directory.#fail(error, 0));
    return directory;
  }

  /** What is wrong, in words for the operator; null where nothing is. */
  get alarm(): string | null {
    return this.#alarm;
  }

  /** Writes a file of its own. Resolves with its path, or null where the disk does not take it. */
  async write(bytes: Uint8Array): Promise<string | null> {
    this.#number += 1;
    const file = join(this.#path, `spooled-${this.#number}.m4s`);
    try {
      await writeFile(file, bytes, { flag: "wx", mode: 0o600 });
      return file;
    } catch (error) {
      await this.remove(file);
      this.#fail(error, bytes.length);
      return null;
    }
  }

  /** Rejects where the file is not what was written. */
  async read(file: string, size: number): Promise<Uint8Array> {
    const bytes = await readFile(file);
    if (bytes.length !== size) throw new Error(`a spooled file has ${bytes.length} bytes instead of ${size}`);
    return bytes;
  }

  async remove(file: string): Promise<void> {
    await rm(file, { force: true }).catch(() => undefined);
  }

  /** Removes what is left. */
  async close(): Promise<void> {
    if (this.#check !== null) clearInterval(this.#check);
    await this.#removeOwn().catch(() => undefined);
  }

  async #prepare(): Promise<void> {
    await this.#make();
    await this.#removeOwn();
    await this.#tryWrite(1);
  }

  async #make(): Promise<void> {
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    await chmod(this.#path, 0o700);
  }

  async #removeOwn(): Promise<void> {
    const names = (await readdir(this.#path)).filter((name) => OWN.test(name));
    for (const name of names) await rm(join(this.#path, name), { force: true });
  }

  #fail(error: unknown, bytes: number): void {
    this.#checkBytes = Math.min(MAX_CHECK_BYTES, Math.max(this.#checkBytes, bytes, 1));
    if (this.#alarm !== null) return;
    this.#alarm = describeFailure(error);
    this.#log.error({ directory: this.#path }, this.#alarm);
    this.#check ??= setInterval(() => void this.#checkAgain(), CHECK_MS).unref();
  }

  async #checkAgain(): Promise<void> {
    try {
      await this.#make();
      await this.#tryWrite(this.#checkBytes);
    } catch {
      return;
    }
    if (this.#check !== null) clearInterval(this.#check);
    this.#check = null;
    this.#checkBytes = 0;
    this.#alarm = null;
    this.#log.info({ directory: this.#path }, "the spool can be written again");
  }

  async #tryWrite(size: number): Promise<void> {
    this.#number += 1;
    const file = join(this.#path, `spooled-${this.#number}.m4s`);
    try {
      await writeFile(file, Buffer.alloc(size), { flag: "wx", mode: 0o600 });
    } finally {
      await this.remove(file);
    }
  }
}

function describeFailure(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
  const cause =
    code === "ENOSPC" || code === "EDQUOT" ? "its disk is full: free some space" : `it cannot be written (${code}): check SPOOL_DIR`;
  return `the spool takes no media, ${cause}; what waits for the edge is kept in memory only`;
}
