import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "..", "..");
let dataDir: string;
let running: ChildProcess | null = null;

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

interface Run {
  child: ChildProcess;
  output: () => string;
  exited: Promise<number | null>;
}

function start(env: Record<string, string>): Run {
  const child = spawn("npm", ["start"], {
    cwd: ROOT,
    env: { ...process.env, DATA_DIR: dataDir, ADMIN_API_KEY: "start-test-key", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running = child;
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (bytes: Buffer) => {
      text += bytes.toString();
    });
  }
  return { child, output: () => text, exited: new Promise((resolve) => child.once("exit", (code) => resolve(code))) };
}

/** Processes that name this run's data directory or were started from it. */
function leftovers(ports: number[]): string[] {
  const all = execFileSync("ps", ["-eo", "pid,args", "--no-headers", "-ww"], { encoding: "utf8" }).split("\n");
  return all.filter((line) => ports.some((port) => line.includes(`:${port}`)) || line.includes(dataDir));
}

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "nova-start-"));
});
afterEach(async () => {
  if (running?.pid !== undefined && running.exitCode === null && running.signalCode === null) {
    const exited = new Promise((resolve) => running?.once("exit", resolve));
    process.kill(-running.pid, "SIGTERM");
    await exited;
  }
  running = null;
  rmSync(dataDir, { recursive: true, force: true });
});

describe("npm start", () => {
  it("is ready with a key, keeps its data over a restart, heals a dead part, and leaves nothing behind on Ctrl-C", async () => {
    const [port, rtmpPort] = [await freePort(), await freePort()];
    const env = { PORT: String(port), RTMP_PORT: String(rtmpPort) };
    const site = `http://127.0.0.1:${port}`;
    const headers = { Authorization: "Bearer start-test-key", "Content-Type": "application/json" };

    const first = start(env);
    await expect.poll(first.output, { timeout: 60_000 }).toContain("nova-edge: ready");
    expect(first.output()).toContain("start-test-key");
    const created = await fetch(`${site}/api/v1/streams`, { method: "POST", headers, body: JSON.stringify({ title: "Kept" }) });
    expect(created.status).toBe(201);
    const { id, rtmp_url } = (await created.json()) as { id: string; rtmp_url: string };
    expect(rtmp_url).toBe(`rtmp://127.0.0.1:${rtmpPort}/live`);
    process.kill(-(first.child.pid as number), "SIGINT");
    await first.exited;
    await expect.poll(() => leftovers([port, rtmpPort]), { timeout: 15_000 }).toEqual([]);

    const second = start(env);
    await expect.poll(second.output, { timeout: 30_000 }).toContain("nova-edge: ready");
    expect((await fetch(`${site}/api/v1/streams/${id}`, { headers })).status).toBe(200);
    const origin = execFileSync("pgrep", ["-f", "local/origin-process.ts"], { encoding: "utf8" }).trim().split("\n").map(Number);
    for (const pid of origin) if (isChildOf(pid, second.child.pid as number)) process.kill(pid, "SIGKILL");
    await expect.poll(second.output, { timeout: 15_000 }).toContain("the origin died (SIGKILL); starting it again");
    await expect.poll(second.output, { timeout: 15_000 }).toContain("the origin is back");
    process.kill(-(second.child.pid as number), "SIGTERM");
    await second.exited;
    await expect.poll(() => leftovers([port, rtmpPort]), { timeout: 15_000 }).toEqual([]);
  });

  it.each(["PORT", "RTMP_PORT"])("says in one line that %s is taken, and exits with an error", async (variable) => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    const { port } = server.address() as { port: number };
    const run = start({ PORT: String(await freePort()), RTMP_PORT: String(await freePort()), [variable]: String(port) });
    expect(await run.exited).not.toBe(0);
    server.close();
    const lines = run
      .output()
      .split("\n")
      .filter((line) => line.startsWith("nova-edge:"));
    expect(lines).toEqual([`nova-edge: port ${port} is in use: stop what uses it, or set ${variable} to another`]);
  });

  it.each([
    ["PORT", "http", "nova-edge: PORT=http is not a port: use a number from 1 to 65535"],
    [
      "DATA_DIR",
      "/dev/null/data",
      "nova-edge: cannot write to the data directory /dev/null/data (ENOTDIR): set DATA_DIR to one that can be written",
    ],
  ])("says in one line what is wrong with %s=%s", async (variable, value, line) => {
    const run = start({ [variable]: value });
    expect(await run.exited).not.toBe(0);
    expect(
      run
        .output()
        .split("\n")
        .filter((text) => text.startsWith("nova-edge:")),
    ).toEqual([line]);
  });
});

function isChildOf(pid: number, ancestor: number): boolean {
  for (let at = pid; at > 1; ) {
    if (at === ancestor) return true;
    at = Number(execFileSync("ps", ["-o", "ppid=", "-p", String(at)], { encoding: "utf8" }).trim());
  }
  return false;
}
