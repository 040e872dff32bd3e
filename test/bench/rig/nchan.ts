import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchRun } from "./figure.ts";
import { call, type Hub, markedFrame } from "./hub.ts";
import { pollUntil } from "./poll.ts";
import { readProcessTree } from "./process-usage.ts";
import { findFreePort, ServerProcess } from "./server-process.ts";

const PROGRAM = "nginx";
const PACKAGES = ["nginx", "libnginx-mod-nchan"];
const MAX_SOCKETS = 20_000;

/** Starts nginx with nchan, after installing it where it is missing. Rejects, with words, where that is not possible. */
export async function startNchan(run: BenchRun): Promise<Hub> {
  const module = findModule() ?? install(run.say);
  const directory = mkdtempSync(join(tmpdir(), "nova-edge-bench-nchan-"));
  run.cleanup.add(() => rmSync(directory, { recursive: true, force: true }));
  const port = await findFreePort();
  const configuration = join(directory, "nginx.conf");
  writeFileSync(configuration, encodeConfiguration(module, directory, port));
  const server = new ServerProcess(PROGRAM, ["-p", directory, "-e", "stderr", "-c", configuration]);
  run.cleanup.add(() => server.stop());
  const site = `http://127.0.0.1:${port}`;
  await pollUntil("nginx", async () => {
    if (server.hasEnded) throw new Error("nginx did not start");
    return call(`${site}/ready`).then(
      () => true,
      () => null,
    );
  });
  return {
    name: "nchan",
    targets: (size) => [{ size, target: { site, path: "/subscribe?viewer={viewer}", greets: false, comesBack: false } }],
    send: async (mark) => {
      await call(`${site}/publish`, "POST", markedFrame(mark));
      return { mark, seq: mark };
    },
    // Its number of subscribers is of a channel, and of the last second.
    countViewers: null,
    readMemoryMb: () => readProcessTree(server.pid).reduce((sum, { rssMb }) => sum + rssMb, 0),
  };
}

/** Path of the module; null where it or nginx is missing. */
function findModule(): string | null {
  const version = spawnSync(PROGRAM, ["-V"], { encoding: "utf8" });
  const modules = /--modules-path=(\S+)/.exec(version.stderr ?? "")?.[1];
  const path = modules === undefined ? null : join(modules, "ngx_nchan_module.so");
  return path !== null && existsSync(path) ? path : null;
}

function install(say: (line: string) => void): string {
  const byHand = `the peer nchan is missing: install it (Debian and Ubuntu: sudo apt-get install ${PACKAGES.join(" ")})`;
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"]).error !== undefined) throw new Error(byHand);
  const hadNginx = spawnSync(PROGRAM, ["-v"]).error === undefined;
  say(`installing ${PACKAGES.join(", ")} with apt-get (once)…`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = (...args: string[]) => spawnSync("apt-get", args, { stdio: ["ignore", 2, 2], env });
  run("update", "-qq");
  run("install", "-y", "-qq", "--no-install-recommends", ...PACKAGES);
  // Debian starts a server as soon as it is installed; nobody asked for this one.
  if (!hadNginx) spawnSync(PROGRAM, ["-s", "stop"], { stdio: "ignore" });
  const module = findModule();
  if (module === null) throw new Error(byHand);
  return module;
}

function encodeConfiguration(module: string, directory: string, port: number): string {
  return `load_module ${module};
daemon off;
worker_processes 1;
worker_rlimit_nofile ${MAX_SOCKETS};
pid ${directory}/nginx.pid;
error_log stderr error;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections ${MAX_SOCKETS}; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  nchan_shared_memory_size 256m;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /ready { return 200; }
    location = /subscribe {
      nchan_subscriber websocket;
      nchan_channel_id audience;
      nchan_subscriber_first_message newest;
    }
    location = /publish {
      nchan_publisher http;
      nchan_channel_id audience;
      nchan_message_buffer_length 100;
      nchan_message_timeout 2m;
    }
  }
}
`;
}
