import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { Log } from "../log.ts";
import { ALIVE_EVERY_MS, type Certificate, type ProcessOptions, type ProcessOrder, ProcessReport } from "./process-messages.ts";

/** What a process tells of itself. */
export interface ChildEvents {
  /** It takes encoders, for the first time or again. */
  ready(): void;
  /** A connection that it took is gone, for whatever reason. */
  closed(address: string): void;
  /** It died, or hung, and another takes its place. */
  replaced(): void;
  /** It is gone and did not take this one. */
  returned(encoder: UnreadEncoder): void;
}

/** An encoder's socket of which nothing was read. */
export interface UnreadEncoder {
  socket: Socket;
  address: string;
  /** TLS is spoken on it. */
  secure: boolean;
}

const script = fileURLToPath(new URL("./process.ts", import.meta.url));
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
const STABLE_AFTER_MS = 30_000;
/** A busy machine takes its time to load a program. */
const START_MS = 10_000;
/** A process this long without a word is the last to get an encoder; whether it hangs is decided later. */
const SILENT_TICKS = 3;

/** Runs one ingest process, hands encoders' sockets to it, and replaces it when it dies or hangs. */
export class IngestChild {
  readonly #options: ProcessOptions;
  readonly #log: Log;
  readonly #events: ChildEvents;
  /** The connections that the process has, or is about to take: those are still held here too. */
  readonly #connections = new Map<number, { address: string; untaken: UnreadEncoder | null }>();
  #certificate: Certificate | null = null;
  #child: ChildProcess | null = null;
  #isReady = false;
  #silentTicks = 0;
  #nextId = 0;
  #backoffMs = 0;
  #restart: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: ProcessOptions, log: Log, events: ChildEvents) {
    this.#options = options;
    this.#log = log;
    this.#events = events;
  }

  /** The living process's id; null between two lives. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Connections that it was given and that are not gone. */
  get connections(): number {
    return this.#connections.size;
  }

  get takesEncoders(): boolean {
    return this.#isReady;
  }

  /** It takes encoders, but has not said a word for a while. */
  get isSilent(): boolean {
    return this.#silentTicks >= SILENT_TICKS;
  }

  /** Resolves once it takes encoders; rejects where the first start fails. */
  async start(): Promise<void> {
    await this.#launch();
  }

  /** Gives the process an encoder. */
  take(encoder: UnreadEncoder): void {
    const id = this.#nextId++;
    const { socket, address, secure } = encoder;
    this.#connections.set(id, { address, untaken: encoder });
    const order: ProcessOrder = { type: "encoder", id, address, secure };
    // Kept open here until the process says that it has it: what is on its way to a process that dies would be lost.
    this.#child?.send(order, socket, { keepOpen: true }, () => {});
  }

  /** For RTMPS handshakes from now on. */
  setCertificate(certificate: Certificate): void {
    this.#certificate = certificate;
    if (this.#isReady) this.#order({ type: "certificate", certificate });
  }

  /** Kills the process; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#restart) clearTimeout(this.#restart);
    const child = this.#child;
    if (!child) return;
    await new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.kill("SIGKILL");
    });
  }

  #order(order: ProcessOrder): void {
    // A process that died in between is reported by its exit.
    this.#child?.send(order, () => {});
  }

  #release(id: number): void {
    const connection = this.#connections.get(id);
    if (!connection) return;
    this.#connections.delete(id);
    connection.untaken?.socket.destroy();
    this.#events.closed(connection.address);
  }

  #confirm(id: number): void {
    const connection = this.#connections.get(id);
    // Closes this process's descriptor; the connection lives in the other.
    connection?.untaken?.socket.destroy();
    if (connection) connection.untaken = null;
  }

  #releaseAll(): void {
    const connections = [...this.#connections.values()];
    this.#connections.clear();
    for (const { address, untaken } of connections) {
      if (untaken) this.#events.returned(untaken);
      else this.#events.closed(address);
    }
  }

  #launch(): Promise<void> {
    const startedAt = performance.now();
    const argv = ["--max-old-space-size=512", "--disable-warning=ExperimentalWarning", script, JSON.stringify(this.#options)];
    // An empty environment: the origin's own holds tokens.
    const child = spawn(process.execPath, argv, { env: {}, stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child = child;
    this.#silentTicks = 0;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let wasReady = false;
    // Ticks instead of a clock: while the origin itself is held up, reports wait unread, and only one tick passes.
    const watchdog = setInterval(() => {
      this.#silentTicks += 1;
      const { processSilenceMs } = this.#options.limits;
      const patienceMs = this.#isReady ? processSilenceMs : Math.max(processSilenceMs, START_MS);
      if (this.#silentTicks * ALIVE_EVERY_MS > patienceMs) child.kill("SIGKILL");
    }, ALIVE_EVERY_MS);

    child.on("message", (message) => {
      this.#silentTicks = 0;
      const report = ProcessReport.safeParse(message).data;
      if (report?.type === "taken") this.#confirm(report.id);
      if (report?.type === "closed") this.#release(report.id);
      if (report?.type !== "ready") return;
      wasReady = true;
      this.#isReady = true;
      if (this.#certificate) this.#order({ type: "certificate", certificate: this.#certificate });
      resolve();
      this.#events.ready();
    });
    let isGone = false;
    const onGone = (fields: object): void => {
      if (isGone) return;
      isGone = true;
      clearInterval(watchdog);
      this.#child = null;
      this.#isReady = false;
      this.#releaseAll();
      reject(new Error("The RTMP ingest process did not start."));
      if (this.#isStopped || (!wasReady && this.#backoffMs === 0)) return;
      this.#scheduleRestart(performance.now() - startedAt, fields);
    };
    child.once("exit", (code, signal) => onGone({ code, signal }));
    child.on("error", (error) => onGone({ error: error.message }));
    return promise;
  }

  #scheduleRestart(livedMs: number, fields: object): void {
    const isFirst = this.#backoffMs === 0 || livedMs > STABLE_AFTER_MS;
    this.#backoffMs = isFirst ? FIRST_BACKOFF_MS : Math.min(this.#backoffMs * 2, LONGEST_BACKOFF_MS);
    this.#log.warn({ ...fields, lived_ms: Math.round(livedMs), restart_in_ms: this.#backoffMs }, "ingest process died; restarting it");
    this.#events.replaced();
    this.#restart = setTimeout(() => {
      this.#launch().then(
        () => this.#log.info({ pid: this.pid }, "ingest process is back"),
        (error: unknown) => this.#log.error({ reason: String(error) }, "ingest process did not come back"),
      );
    }, this.#backoffMs);
  }
}
