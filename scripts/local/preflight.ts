import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { realpathSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "./settings.ts";

/** Throws a `StartError` where a port cannot be listened on. */
export async function checkPort(host: string, port: number, variable: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "is in use" : `cannot be opened (${error.code})`;
      reject(new StartError(`port ${port} ${why}: stop what uses it, or set ${variable} to another`));
    });
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve()));
  });
}

/** Throws a `StartError` where FFmpeg is missing. */
export function checkFfmpeg(): void {
  if (spawnSync("ffmpeg", ["-version"], { stdio: "ignore" }).error !== undefined) {
    throw new StartError("ffmpeg was not found: install it (Debian and Ubuntu: sudo apt-get install ffmpeg; macOS: brew install ffmpeg)");
  }
}

/**
 * Takes the data directory for this process: two that write to one would destroy it. Throws a `StartError` where another one
 * has it. The lock is a socket that its holder listens on, so it goes with the holder, however that ends.
 */
export async function lockDataDir(dataDir: string): Promise<() => void> {
  const name = createHash("sha256").update(realpathSync(dataDir)).digest("hex").slice(0, 16);
  const path = join(tmpdir(), `nova-edge-${name}.lock`);
  if (await answers(path))
    throw new StartError(`another Nova Edge uses the data directory ${dataDir}: stop it, or set DATA_DIR to another`);
  rmSync(path, { force: true });
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
  server.unref();
  return () => server.close();
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
