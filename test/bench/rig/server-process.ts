import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import type { ChildReport } from "../../../scripts/local/supervised.ts";

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

/** A server that a bench runs: in a process group of its own, with all its words on stderr. It is not started again when it dies. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;

  constructor(command: string, args: string[], env: Record<string, string> = {}) {
    this.#child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", process.stderr, "inherit", "ipc"],
      detached: true,
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.once("error", () => resolve());
    });
  }

  /** Throws where it could not be started. */
  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#child.spawnfile} could not be started`);
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Resolves with what the child reports when it is ready (scripts/local/child.ts); rejects where it fails or ends instead. */
  ready(): Promise<Record<string, string | number>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("a server was not ready in time")), READY_TIMEOUT_MS);
      this.#child.once("message", (report: ChildReport) => {
        clearTimeout(timer);
        if ("failed" in report) reject(new Error(report.failed));
        else resolve(report.ready);
      });
      void this.#exited.then(() => {
        clearTimeout(timer);
        reject(new Error(`${this.#child.spawnargs.join(" ")} ended while starting`));
      });
    });
  }

  /** Asks it to end; kills it and all that it started where it does not. */
  async stop(): Promise<void> {
    if (!this.hasEnded) {
      this.#child.kill("SIGTERM");
      const timer = setTimeout(() => this.#killGroup(), STOP_TIMEOUT_MS);
      await this.#exited;
      clearTimeout(timer);
    }
    this.#killGroup();
  }

  #killGroup(): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // Nothing of it is left.
    }
  }
}

/** A TCP port of the loopback interface that nobody listens on. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
