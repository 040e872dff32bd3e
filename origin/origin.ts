import { rmSync } from "node:fs";
import type { OriginConfig } from "./config.ts";
import { Ingest } from "./ingest/ingest.ts";
import type { Log } from "./log.ts";
import { prepareRunDirectory } from "./run-directory.ts";
import { Session } from "./session.ts";
import { EdgeClient } from "./upload/edge-client.ts";

/** An origin box: its ingest, and a session for each encoder that is live. */
export class Origin {
  readonly #config: OriginConfig;
  readonly #log: Log;
  readonly #edge: EdgeClient;
  readonly #ingest: Ingest;
  readonly #sessions = new Map<Session, Promise<void>>();
  #draining = false;

  constructor(config: OriginConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#edge = new EdgeClient(config.edgeUrl, config.originToken);
    this.#ingest = new Ingest({
      rtmpPort: config.rtmpPort,
      bind: config.host,
      runDirectory: config.runDirectory,
      log,
      logLevel: config.logLevel,
      onPublication: (publication) => {
        if (this.#draining) return publication.refuse("this origin is shutting down: try again in a few seconds");
        const { originId, runDirectory } = this.#config;
        const session = new Session({ edge: this.#edge, originId, runDirectory, log: this.#log }, publication);
        const run = session.run().finally(() => this.#sessions.delete(session));
        this.#sessions.set(session, run);
      },
    });
  }

  /** Process ids of the parts, for supervision and tests. */
  get pids(): { ingest: number | null; transcoders: number[] } {
    const transcoders = [...this.#sessions.keys()].map((session) => session.transcoderPid).filter((pid) => pid !== null);
    return { ingest: this.#ingest.pid, transcoders };
  }

  /** Starts to accept encoders. Resolves with the RTMP port; rejects with an Error in words. */
  async start(): Promise<{ port: number }> {
    prepareRunDirectory(this.#config.runDirectory);
    return this.#ingest.start();
  }

  /** Takes no more encoders, lets the edge have all that there is, tells it, and ends every process. */
  async stop(): Promise<void> {
    this.#draining = true;
    for (const session of this.#sessions.keys()) session.stop("origin_shutdown", "This origin is shutting down.");
    await Promise.all(this.#sessions.values());
    await this.#ingest.stop();
    rmSync(this.#config.runDirectory, { recursive: true, force: true });
  }
}
