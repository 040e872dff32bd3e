import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProfileName } from "../domain/profiles.ts";
import { decideAdmission } from "./admission/admission.ts";
import { Headroom } from "./admission/headroom.ts";
import type { OriginConfig } from "./config.ts";
import { PrivateServer } from "./http/private-server.ts";
import { Ingest } from "./ingest/ingest.ts";
import type { Publication } from "./ingest/publication.ts";
import type { Log } from "./log.ts";
import { OriginMetrics } from "./metrics/origin-metrics.ts";
import { prepareRunDirectory } from "./run-directory.ts";
import { Session, type SessionContext } from "./session.ts";
import type { OriginStatus, Readiness } from "./status.ts";
import { checkEncoder } from "./transcode/encoders.ts";
import { EdgeClient } from "./upload/edge-client.ts";
import { Spool } from "./upload/spool.ts";

/** An edge that is away for longer makes the origin not ready, seconds: balancers send encoders elsewhere. */
const LONGEST_EDGE_ABSENCE = 30;
const LOOK_EVERY_MS = 250;

/** Where an origin can be reached once it has started. */
export interface OriginPorts {
  rtmp: number;
  rtmps: number | null;
  privateHttp: number;
}

/** An origin box: its ingest, a session for each encoder that is live, and what operators ask it. */
export class Origin {
  readonly #config: OriginConfig;
  readonly #log: Log;
  readonly #edge: EdgeClient;
  readonly #ingest: Ingest;
  readonly #headroom = new Headroom();
  readonly #metrics: OriginMetrics;
  readonly #privateServer: PrivateServer;
  readonly #sessions = new Map<Session, Promise<void>>();
  #context: SessionContext | null = null;
  #drainDeadline: number | null = null;
  #drainTimer: NodeJS.Timeout | null = null;

  constructor(config: OriginConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#edge = new EdgeClient(config.edgeUrl, config.originToken, log);
    this.#metrics = new OriginMetrics(() => this.status());
    this.#ingest = new Ingest({
      rtmpPort: config.rtmpPort,
      bind: config.host,
      rtmps: config.rtmps,
      processes: config.ingestProcesses,
      limits: { connections: config.maxConnections, connectionsPerAddress: config.maxConnectionsPerAddress },
      runDirectory: config.runDirectory,
      log,
      logLevel: config.logLevel,
      onPublication: (publication) => this.#onPublication(publication),
      onRestart: () => this.#metrics.ingestRestarted(),
    });
    this.#privateServer = new PrivateServer({
      ...config.privateHttp,
      log,
      metrics: this.#metrics,
      origin: {
        status: () => this.status(),
        readiness: () => this.#readiness(),
        drain: (seconds) => this.drain(seconds),
        resume: () => this.resume(),
      },
    });
  }

  /** Process ids of the parts, for supervision and tests. */
  get pids(): { ingest: number[]; transcoders: number[] } {
    const transcoders = [...this.#sessions.keys()].map((session) => session.transcoderPid).filter((pid) => pid !== null);
    return { ingest: this.#ingest.pids, transcoders };
  }

  /** Starts to accept encoders. Rejects with an Error in words. */
  async start(): Promise<OriginPorts> {
    const config = this.#config;
    const fault = config.videoEncoder === "x264" ? null : await checkEncoder(config.videoEncoder, config.renderDevice);
    if (fault !== null) throw new Error(`VIDEO_ENCODER=${config.videoEncoder} does not work here: ${fault}`);
    prepareRunDirectory(config.runDirectory);
    const spool = await Spool.open({ ...config.spool, log: this.#log });
    this.#context = {
      edge: this.#edge,
      spool,
      metrics: this.#metrics,
      config,
      log: this.#log,
      refusalOf: (profile) => this.#admission(profile, this.#sessions.size - 1),
      idleCores: () => (1 - this.#headroom.load().cpu) * availableParallelism(),
    };
    this.#headroom.start();
    const { port, rtmpsPort } = await this.#ingest.start();
    const privateHttp = await this.#privateServer.start();
    return { rtmp: port, rtmps: rtmpsPort, privateHttp: privateHttp.port };
  }

  /** Takes no more encoders. Those that know how to are asked to connect elsewhere at once; the others have so many seconds left. */
  drain(seconds = this.#config.drainSeconds): void {
    this.#drainDeadline = Date.now() + seconds * 1000;
    this.#log.info({ seconds, streams: this.#sessions.size }, "origin drains");
    for (const session of this.#sessions.keys()) session.move();
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    this.#drainTimer = setTimeout(() => this.#endAll(), seconds * 1000);
  }

  /** Reads the certificate anew; who is connected stays so. */
  async reloadCertificate(): Promise<void> {
    await this.#ingest.reloadCertificate();
  }

  /** Takes encoders again. */
  resume(): void {
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    this.#drainDeadline = null;
    this.#log.info({}, "origin takes encoders again");
  }

  /** Drains, lets the edge have all that there is, tells it, and ends every process. */
  async stop(): Promise<void> {
    // One that drains already, for longer perhaps, is in more of a hurry now.
    const deadline = Date.now() + this.#config.drainSeconds * 1000;
    if (this.#drainDeadline === null) this.drain();
    else this.#drainDeadline = Math.min(this.#drainDeadline, deadline);
    while (this.#sessions.size > 0 && Date.now() < (this.#drainDeadline ?? 0)) await sleep(LOOK_EVERY_MS);
    this.#endAll();
    await Promise.all(this.#sessions.values());
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer);
    this.#headroom.stop();
    await this.#privateServer.stop();
    await this.#ingest.stop();
    await this.#context?.spool.close();
    await this.#edge.close();
    rmSync(this.#config.runDirectory, { recursive: true, force: true });
  }

  /** The time of a draining is over: whoever is still live is cut off. */
  hurry(): void {
    this.#drainDeadline = Date.now();
  }

  /** What it is doing. */
  status(): OriginStatus {
    const spool = this.#context?.spool;
    const away = this.#edge.health.awaySeconds;
    const alarms = [spool?.alarm ?? null, away === null ? null : `the edge has not answered for ${Math.round(away)} s`];
    return {
      originId: this.#config.originId,
      draining: this.#drainDeadline !== null,
      drainDeadline: this.#drainDeadline,
      ingest: { pids: this.#ingest.pids, connections: this.#ingest.connections },
      edgeAwaySeconds: away,
      alarms: alarms.filter((alarm) => alarm !== null),
      spool: { memoryBytes: spool?.memoryUsed ?? 0, diskBytes: spool?.diskUsed ?? 0 },
      headroom: this.#headroom.load(),
      streams: [...this.#sessions.keys()].map((session) => session.status).filter((status) => status !== null),
    };
  }

  #readiness(): Readiness {
    const reasons: string[] = [];
    const away = this.#edge.health.awaySeconds ?? 0;
    if (this.#context === null || this.#ingest.pids.length === 0) reasons.push("no process takes encoders");
    if (this.#drainDeadline !== null) reasons.push("it is draining");
    if (away > LONGEST_EDGE_ABSENCE) reasons.push(`the edge has not answered for ${Math.round(away)} s`);
    return { ready: reasons.length === 0, reasons };
  }

  #onPublication(publication: Publication): void {
    const context = this.#context;
    const refusal =
      this.#drainDeadline !== null || context === null
        ? "this origin is shutting down: try again in a few seconds"
        : this.#admission(null, this.#sessions.size);
    if (refusal !== null || context === null) {
      this.#metrics.publishRefused(this.#drainDeadline !== null ? "draining" : "capacity");
      this.#log.warn({ remote: publication.remoteAddress, reason: refusal }, "publish refused");
      return publication.refuse(refusal ?? "");
    }
    const session = new Session(context, publication);
    const run = session.run().finally(() => this.#sessions.delete(session));
    this.#sessions.set(session, run);
  }

  #admission(profile: ProfileName | null, streams: number): string | null {
    return decideAdmission({ ...this.#headroom.load(), streams }, { profile }, { maxStreams: this.#config.maxStreams });
  }

  #endAll(): void {
    for (const session of this.#sessions.keys()) session.stop("origin_shutdown", "This origin is shutting down.");
  }
}
