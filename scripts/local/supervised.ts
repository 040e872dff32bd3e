import { type ChildProcess, spawn } from "node:child_process";
import { StartError } from "./settings.ts";

/** What a child process reports to its supervisor. */
export type ChildReport = { ready: Record<string, string | number> } | { failed: string };

/** How to run a child, and whom to tell. */
export interface SupervisedOptions {
  name: string;
  /** Path of the script. */
  script: string;
  env: Record<string, string>;
  /** Lines for the operator. */
  say(line: string): void;
  /** The child died unasked and is ready again. */
  onRestart?(): void;
}

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
const MAX_BACKOFF_MS = 10_000;

/** A child process that is started again when it dies unasked. It has a process group of its own, so that it leaves no orphans. */
export class Supervised {
  readonly #options: SupervisedOptions;
  #child: ChildProcess | null = null;
  #stopping = false;
  #backoff = 250;

  constructor(options: SupervisedOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the child. Resolves with what it reports once it is ready; rejects with a `StartError` where it cannot start. */
  start(): Promise<Record<string, string | number>> {
    const { name, script, env } = this.#options;
    const child = spawn(process.execPath, [script], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      // A group of its own: a terminal's Ctrl-C reaches the supervisor alone, which ends the children in order.
      detached: true,
    });
    this.#child = child;
    return new Promise((resolve, reject) => {
      let ready = false;
      const timer = setTimeout(() => fail(`${name} was not ready within ${READY_TIMEOUT_MS / 1000} s`), READY_TIMEOUT_MS);
      const fail = (reason: string) => {
        clearTimeout(timer);
        this.#killGroup(child);
        reject(new StartError(reason));
      };
      child.on("message", (report: ChildReport) => {
        if ("failed" in report) return fail(report.failed);
        ready = true;
        clearTimeout(timer);
        setTimeout(() => (this.#backoff = 250), 30_000).unref();
        resolve(report.ready);
      });
      child.on("exit", (code, signal) => {
        clearTimeout(timer);
        this.#killGroup(child);
        if (!ready) reject(new StartError(`${name} ended while starting (${signal ?? `exit code ${code}`})`));
        else if (!this.#stopping) this.#restart(`${signal ?? `exit code ${code}`}`);
      });
    });
  }

  /** Asks the child to end, and ends it and all that it started after a while. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const timer = setTimeout(() => this.#killGroup(child), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
    this.#killGroup(child);
  }

  #restart(how: string): void {
    const { name, say, onRestart } = this.#options;
    say(`${name} died (${how}); starting it again`);
    const delay = this.#backoff;
    this.#backoff = Math.min(this.#backoff * 2, MAX_BACKOFF_MS);
    setTimeout(() => {
      if (this.#stopping) return;
      this.start().then(
        () => {
          say(`${name} is back`);
          onRestart?.();
        },
        (error: Error) => {
          say(error.message);
          if (!this.#stopping) this.#restart("it could not start");
        },
      );
    }, delay);
  }

  #killGroup(child: ChildProcess): void {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // Nothing of it is left.
    }
  }
}
