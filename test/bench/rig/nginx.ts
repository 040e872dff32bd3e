import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "./figure.ts";
import { pollUntil } from "./poll.ts";
import { ServerProcess } from "./server-process.ts";

const PROGRAM = "nginx";

/** A module of nginx that a peer consists of. */
export interface NginxModule {
  /** The peer's name, for people. */
  peer: string;
  file: string;
  debianPackage: string;
}

/** Starts nginx with a module, after installing both where they are missing. Rejects, with words, where that is not possible. `isReady` is asked until it says so. */
export async function startNginx(
  module: NginxModule,
  encodeConfiguration: (directory: string) => string,
  isReady: () => Promise<boolean>,
  cleanup: Cleanup,
  say: (line: string) => void,
): Promise<ServerProcess> {
  const path = findModule(module) ?? install(module, say);
  const directory = mkdtempSync(join(tmpdir(), "nova-edge-bench-nginx-"));
  cleanup.add(() => rmSync(directory, { recursive: true, force: true }));
  const configuration = join(directory, "nginx.conf");
  writeFileSync(configuration, preamble(path, directory) + encodeConfiguration(directory));
  const server = new ServerProcess(PROGRAM, ["-p", directory, "-e", "stderr", "-c", configuration]);
  cleanup.add(() => server.stop());
  await pollUntil("nginx", async () => {
    if (server.hasEnded) throw new Error("nginx did not start");
    return (await isReady()) ? true : null;
  });
  return server;
}

/** What an `http` block begins with: nothing is logged, and nothing is written but into the directory. */
export function httpDefaults(directory: string): string {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`);
  return ["access_log off;", ...paths].join("\n  ");
}

function preamble(modulePath: string, directory: string): string {
  return `load_module ${modulePath};
daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr error;
${process.getuid?.() === 0 ? "user root;" : ""}
`;
}

/** Path of the module; null where it or nginx is missing. */
function findModule({ file }: NginxModule): string | null {
  const version = spawnSync(PROGRAM, ["-V"], { encoding: "utf8" });
  const modules = /--modules-path=(\S+)/.exec(version.stderr ?? "")?.[1];
  const path = modules === undefined ? null : join(modules, file);
  return path !== null && existsSync(path) ? path : null;
}

function install(module: NginxModule, say: (line: string) => void): string {
  const packages = [PROGRAM, module.debianPackage];
  const byHand = `the peer ${module.peer} is missing: install it (Debian and Ubuntu: sudo apt-get install ${packages.join(" ")})`;
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"]).error !== undefined) throw new Error(byHand);
  const hadNginx = spawnSync(PROGRAM, ["-v"]).error === undefined;
  say(`installing ${packages.join(", ")} with apt-get (once)…`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = (...args: string[]) => spawnSync("apt-get", args, { stdio: ["ignore", 2, 2], env });
  run("update", "-qq");
  run("install", "-y", "-qq", "--no-install-recommends", ...packages);
  // Debian starts a server as soon as it is installed; nobody asked for this one.
  if (!hadNginx) spawnSync(PROGRAM, ["-s", "stop"], { stdio: "ignore" });
  const path = findModule(module);
  if (path === null) throw new Error(byHand);
  return path;
}
