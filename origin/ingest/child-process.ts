import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Log } from "../log.ts";
import { ALIVE_EVERY_MS, type ProcessOptions, ProcessReport } from "./process-messages.ts";

const script = fileURLToPath(new URL("./process.ts", import.meta.url));
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
const STABLE_AFTER_MS = 30_000;

/** Runs the ingest process and replaces it when it dies or hangs. */
export class IngestChild {
  readonly #options: ProcessOptions;
  readonly #log: Log;
  #child: ChildProcess | null = null;
  #backoffMs = 0;
  #restart: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: ProcessOptions, log: Log) {
    this.#options = { ...options };
    this.#log = log;
  }

  /** The living process's id; null between two lives. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Resolves with the port once it accepts connections; rejects where the first start fails. Later starts take the same port. */
  async start(): Promise<number> {
    this.#options.port = await this.#launch();
    return this.#options.port;
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

  #launch(): Promise<number> {
    const startedAt = performance.now();
    const argv = ["--max-old-space-size=512", "--disable-warning=ExperimentalWarning", script, JSON.stringify(this.#options)];
    // An empty environment: the origin's own holds tokens.
    const child = spawn(process.execPath, argv, { env: {}, stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child = child;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    let isListening = false;
    let silentTicks = 0;
    // Ticks instead of a clock: while the origin itself is held up, reports wait unread, and only one tick passes.
    const watchdog = setInterval(() => {
      silentTicks += 1;
      if (silentTicks * ALIVE_EVERY_MS > this.#options.limits.processSilenceMs) child.kill("SIGKILL");
    }, ALIVE_EVERY_MS);

    child.on("message", (message) => {
      silentTicks = 0;
      const report = ProcessReport.safeParse(message).data;
      if (report?.type === "listening") {
        isListening = true;
        resolve(report.port);
      } else if (report?.type === "failed" && isListening) {
        this.#log.warn({ code: report.code }, "ingest could not take a connection");
      } else if (report?.type === "failed") {
        reject(new Error(describeFailure(this.#options, report.code)));
      }
    });
    let isGone = false;
    const onGone = (fields: object): void => {
      if (isGone) return;
      isGone = true;
      clearInterval(watchdog);
      this.#child = null;
      reject(new Error("The RTMP ingest process did not start."));
      if (this.#isStopped || (!isListening && this.#backoffMs === 0)) return;
      this.#scheduleRestart(performance.now() - startedAt, fields);
    };
    child.once("exit", (code, signal) => onGone({ code, signal }));
    child.once("error", (error) => onGone({ error: error.message }));
    return promise;
  }

  #scheduleRestart(livedMs: number, fields: object): void {
    const isFirst = this.#backoffMs === 0 || livedMs > STABLE_AFTER_MS;
    this.#backoffMs = isFirst ? FIRST_BACKOFF_MS : Math.min(this.#backoffMs * 2, LONGEST_BACKOFF_MS);
    this.#log.warn({ ...fields, lived_ms: Math.round(livedMs), restart_in_ms: this.#backoffMs }, "ingest process died; restarting it");
    this.#restart = setTimeout(() => {
      this.#launch().then(
        () => this.#log.info({ pid: this.pid }, "ingest process is back"),
        (error: unknown) => this.#log.error({ reason: String(error) }, "ingest process did not come back"),
      );
    }, this.#backoffMs);
  }
}

function describeFailure({ port, bind }: ProcessOptions, code: string): string {
  if (code === "EADDRINUSE") return `RTMP port ${port} is already in use.`;
  if (code === "EACCES") return `RTMP port ${port} may not be opened by this user.`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") return `This machine has no address ${bind} to take RTMP on.`;
  return `RTMP port ${port} could not be opened (${code}).`;
}
