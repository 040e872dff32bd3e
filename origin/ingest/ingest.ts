import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "../log.ts";
import { CertificateFiles, type CertificatePaths } from "./certificate-files.ts";
import { type ChildEvents, IngestChild } from "./child-process.ts";
import { FrontDoor } from "./front-door.ts";
import { defaultLimits, type IngestLimits } from "./limits.ts";
import { type LinkedPublication, type Publication, receivePublication } from "./publication.ts";

export interface IngestOptions {
  /** 0 takes any free port. */
  rtmpPort: number;
  /** RTMP over TLS beside it; not offered by default. */
  rtmps?: ({ port: number } & CertificatePaths) | null;
  /** The address to listen on; all of them by default. */
  bind?: string;
  /** How many processes share the encoders; 1 by default. */
  processes?: number;
  /** Where the socket between the processes lives, in a directory of its own. */
  runDirectory: string;
  log: Log;
  /** For the ingest processes' own log; `info` by default. */
  logLevel?: string;
  /** `connections` and `connectionsPerAddress` count over all processes. */
  limits?: Partial<IngestLimits>;
  /** Called for each encoder that wants to publish; answer with `accept` or `refuse`. */
  onPublication(publication: Publication): void;
  /** A process of the ingest died, or hung, and is replaced. */
  onRestart?(): void;
}

// A Unix socket's path has room for 107 bytes, and less on other systems.
const LONGEST_SOCKET_PATH = 100;
const FAREWELL_MS = 500;

/** Takes RTMP publishes through supervised processes of its own. */
export class Ingest {
  readonly #options: IngestOptions;
  readonly #limits: IngestLimits;
  readonly #publications = new Set<LinkedPublication>();
  #directory: string | null = null;
  #server: Server | null = null;
  #children: IngestChild[] = [];
  #door: FrontDoor | null = null;
  #certificate: CertificateFiles | null = null;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  /** Ids of the ingest processes that live. */
  get pids(): number[] {
    return this.#children.map(({ pid }) => pid).filter((pid) => pid !== null);
  }

  /** The first ingest process's id; null while there is none. */
  get pid(): number | null {
    return this.#children[0]?.pid ?? null;
  }

  /** Connections of encoders, those that do not publish among them. */
  get connections(): number {
    return this.#door?.connections ?? 0;
  }

  /** Resolves when the ports accept. Rejects, with words for an operator, where they can't. */
  async start(): Promise<{ port: number; rtmpsPort: number | null }> {
    const { rtmpPort, rtmps = null, bind, processes = 1, runDirectory, log, logLevel = "info" } = this.#options;
    this.#directory = await createPrivateDirectory(runDirectory);
    const linkPath = join(this.#directory, "s");
    try {
      this.#server = await this.#listen(linkPath);
      const options = { linkPath, logLevel, limits: this.#limits };
      const events: ChildEvents = {
        ready: () => this.#door?.serveWaiting(),
        closed: (address) => this.#door?.release(address),
        replaced: () => this.#options.onRestart?.(),
        returned: (encoder) => this.#door?.dispatch(encoder),
      };
      this.#children = Array.from({ length: processes }, () => new IngestChild(options, log, events));
      this.#door = new FrontDoor(this.#children, this.#limits, log);
      // Before the processes: a port that is taken is known at once, and connections wait for a process.
      const port = await this.#door.listen(rtmpPort, bind, false);
      const rtmpsPort = rtmps === null ? null : await this.#startSecure(this.#door, rtmps);
      await Promise.all(this.#children.map((child) => child.start()));
      return { port, rtmpsPort };
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Reads the certificate's files now instead of within seconds. One that is no good is logged, and the old one stays. */
  async reloadCertificate(): Promise<void> {
    await this.#certificate?.reload();
  }

  /** Ends all publishes, kills the ingest processes and removes what they left; resolves when nothing of them runs. */
  async stop(): Promise<void> {
    this.#door?.close();
    this.#certificate?.stop();
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
    await Promise.all(this.#children.map((child) => child.stop()));
    this.#server?.close();
    if (this.#directory) await rm(this.#directory, { recursive: true, force: true });
  }

  async #startSecure(door: FrontDoor, rtmps: { port: number } & CertificatePaths): Promise<number> {
    this.#certificate = new CertificateFiles(rtmps, this.#options.log, (certificate) => {
      for (const child of this.#children) child.setCertificate(certificate);
    });
    try {
      await this.#certificate.start();
    } catch (error) {
      throw new Error(`RTMPS can't be offered: ${error instanceof Error ? error.message : error}.`);
    }
    return door.listen(rtmps.port, this.#options.bind, true);
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
