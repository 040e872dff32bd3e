import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "../log.ts";
import { IngestChild } from "./child-process.ts";
import { defaultLimits, type IngestLimits } from "./limits.ts";
import { type LinkedPublication, type Publication, receivePublication } from "./publication.ts";

export interface IngestOptions {
  /** 0 takes any free port. */
  rtmpPort: number;
  /** The address to listen on; all of them by default. */
  bind?: string;
  /** Where the socket between the processes lives, in a directory of its own. */
  runDirectory: string;
  log: Log;
  /** For the ingest process's own log; `info` by default. */
  logLevel?: string;
  limits?: Partial<IngestLimits>;
  /** Called for each encoder that wants to publish; answer with `accept` or `refuse`. */
  onPublication(publication: Publication): void;
}

// A Unix socket's path has room for 107 bytes, and less on other systems.
const LONGEST_SOCKET_PATH = 100;
const FAREWELL_MS = 500;

/** Takes RTMP publishes through a supervised process of its own. */
export class Ingest {
  readonly #options: IngestOptions;
  readonly #limits: IngestLimits;
  readonly #publications = new Set<LinkedPublication>();
  #directory: string | null = null;
  #server: Server | null = null;
  #child: IngestChild | null = null;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  /** The ingest process's id; null while there is none. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Resolves when the RTMP port accepts. Rejects, with words for an operator, where it can't. */
  async start(): Promise<{ port: number }> {
    this.#directory = await createPrivateDirectory(this.#options.runDirectory);
    const linkPath = join(this.#directory, "s");
    try {
      this.#server = await this.#listen(linkPath);
      this.#child = new IngestChild(
        {
          port: this.#options.rtmpPort,
          bind: this.#options.bind ?? null,
          linkPath,
          logLevel: this.#options.logLevel ?? "info",
          limits: this.#limits,
        },
        this.#options.log,
      );
      return { port: await this.#child.start() };
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Ends all publishes, kills the ingest process and removes what it left; resolves when nothing of it runs. */
  async stop(): Promise<void> {
    const ended = [...this.#publications].map((publication) => {
      publication.dismiss("The origin is shutting down.");
      return publication.ended;
    });
    if (ended.length > 0) {
      const patience = Promise.withResolvers<void>();
      const timer = setTimeout(patience.resolve, FAREWELL_MS);
      await Promise.race([Promise.all(ended), patience.promise]);
      clearTimeout(timer);
    }
    await this.#child?.stop();
    this.#server?.close();
    if (this.#directory) await rm(this.#directory, { recursive: true, force: true });
  }

  #listen(path: string): Promise<Server> {
    const server = createServer((link) => receivePublication(link, this.#limits, (publication) => this.#receive(publication)));
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, () => resolve(server));
    });
  }

  #receive(publication: LinkedPublication): void {
    this.#publications.add(publication);
    void publication.ended.then(() => this.#publications.delete(publication));
    try {
      this.#options.onPublication(publication);
    } catch (error) {
      this.#options.log.error({ publication: publication.id, reason: String(error) }, "publish could not be handled");
      publication.dismiss("The origin failed.");
    }
  }
}

async function createPrivateDirectory(runDirectory: string): Promise<string> {
  const isTooLong = Buffer.byteLength(join(runDirectory, "ingest-XXXXXX", "s")) > LONGEST_SOCKET_PATH;
  const parent = isTooLong ? tmpdir() : runDirectory;
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(join(parent, "ingest-"));
  await chmod(directory, 0o700);
  return directory;
}
