import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "./figure.ts";
import { pollUntil } from "./poll.ts";
import { findFreePort, ServerProcess } from "./server-process.ts";

/** A running nginx with its RTMP module, which writes HLS with segments of 2 s and serves it. */
export interface NginxRtmp {
  /** Playlists lie at `/NAME.m3u8`. */
  site: string;
  rtmpPort: number;
  pid: number;
}

const PROGRAM = "nginx";
const PACKAGES = ["nginx", "libnginx-mod-rtmp"];

/** Starts the peer, after installing it where it is missing. Rejects, with words, where that is not possible. */
export async function startNginxRtmp(cleanup: Cleanup, say: (line: string) => void): Promise<NginxRtmp> {
  const module = findModule() ?? install(say);
  const directory = mkdtempSync(join(tmpdir(), "nova-edge-bench-nginx-"));
  cleanup.add(() => rmSync(directory, { recursive: true, force: true }));
  const httpPort = await findFreePort();
  const rtmpPort = await findFreePort();
  mkdirSync(join(directory, "hls"));
  const configuration = join(directory, "nginx.conf");
  writeFileSync(configuration, encodeConfiguration({ module, directory, httpPort, rtmpPort }));
  const server = new ServerProcess(PROGRAM, ["-p", directory, "-e", "stderr", "-c", configuration]);
  cleanup.add(() => server.stop());
  await pollUntil("nginx", async () => {
    if (server.hasEnded) throw new Error("nginx did not start");
    return (await accepts(rtmpPort)) && (await accepts(httpPort)) ? true : null;
  });
  return { site: `http://127.0.0.1:${httpPort}`, rtmpPort, pid: server.pid };
}

/** Path of the RTMP module; null where it or nginx is missing. */
function findModule(): string | null {
  const version = spawnSync(PROGRAM, ["-V"], { encoding: "utf8" });
  const modules = /--modules-path=(\S+)/.exec(version.stderr ?? "")?.[1];
  const path = modules === undefined ? null : join(modules, "ngx_rtmp_module.so");
  return path !== null && existsSync(path) ? path : null;
}

function install(say: (line: string) => void): string {
  const byHand = `the peer nginx-rtmp is missing: install it (Debian and Ubuntu: sudo apt-get install ${PACKAGES.join(" ")})`;
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

function encodeConfiguration(options: { module: string; directory: string; httpPort: number; rtmpPort: number }): string {
  const { module, directory, httpPort, rtmpPort } = options;
  return `load_module ${module};
daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr error;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 4096; }
rtmp {
  access_log off;
  server {
    listen 127.0.0.1:${rtmpPort};
    application live {
      live on;
      hls on;
      hls_path ${directory}/hls;
      hls_fragment 2s;
    }
  }
}
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  server {
    listen 127.0.0.1:${httpPort};
    root ${directory}/hls;
    log_not_found off;
  }
}
`;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
