// Runs a script of this project on the pinned Node, after installing what the machine lacks. Plain JavaScript without
// dependencies, because it must work with whatever Node 20 or newer a fresh clone finds.
// Usage: node scripts/bootstrap.mjs [--for-tests] scripts/NAME.ts [arguments]
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const pinnedNode = join(root, "node_modules", ".bin", "node");

function fail(message) {
  console.error(`nova-edge: ${message}`);
  process.exit(1);
}

function has(command) {
  return spawnSync(command, ["-version"], { stdio: "ignore" }).error === undefined;
}

function installDependencies() {
  const lock = readFileSync(join(root, "package-lock.json"));
  const wanted = createHash("sha256").update(lock).digest("hex");
  const stamp = join(root, "node_modules", ".nova-edge-lock");
  if (existsSync(pinnedNode) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  console.error("nova-edge: installing dependencies (once; about half a minute)…");
  // Not `npm ci`: it wants the lock file to name the native packages of every platform, also those a registry does not have.
  const install = spawnSync("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (install.status !== 0) fail("npm install failed: see the lines above, mend what they name, and try again");
  if (!existsSync(pinnedNode)) {
    // Where install scripts are switched off, the pinned Node did not unpack itself.
    const rebuild = spawnSync("npm", ["rebuild", "node", "workerd", "esbuild", "--ignore-scripts=false"], {
      cwd: root,
      stdio: ["ignore", 2, 2],
    });
    if (rebuild.status !== 0 || !existsSync(pinnedNode))
      fail("the pinned Node did not install: run `npm rebuild node --ignore-scripts=false`");
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, wanted);
}

/** @param {Record<string, string>} commands Debian's packages, by a command that each brings */
function installSystemPackages(commands) {
  const lacking = Object.keys(commands).filter((command) => !has(command));
  if (lacking.length === 0) return;
  const missing = lacking.map((command) => commands[command]);
  const byHand = `${missing.join(" and ")} not found: install with your package manager (Debian and Ubuntu: sudo apt-get install ${missing.join(" ")}; macOS: brew install ${missing.join(" ")})`;
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"], { stdio: "ignore" }).error !== undefined) fail(byHand);
  console.error(`nova-edge: installing ${missing.join(", ")} with apt-get (once; a minute or two)…`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  spawnSync("apt-get", ["update", "-qq"], { stdio: ["ignore", 2, 2], env });
  const install = spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], {
    stdio: ["ignore", "ignore", 2],
    env,
  });
  if (install.status !== 0 || lacking.some((command) => !has(command))) fail(byHand);
}

const args = process.argv.slice(2);
const forTests = args[0] === "--for-tests";
const [script, ...rest] = forTests ? args.slice(1) : args;
if (script === undefined) fail("usage: node scripts/bootstrap.mjs scripts/NAME.ts [arguments]");

installDependencies();
installSystemPackages(
  forTests ? { ffmpeg: "ffmpeg", chromium: "chromium", ps: "procps", python3: "python3", curl: "curl" } : { ffmpeg: "ffmpeg" },
);

const env = { ...process.env, PATH: `${join(root, "node_modules", ".bin")}${process.platform === "win32" ? ";" : ":"}${process.env.PATH}` };
env.WRANGLER_LOG ??= "error";
env.WRANGLER_SEND_METRICS ??= "false";
env.CLOUDFLARE_CF_FETCH_ENABLED ??= "false";
env.WRANGLER_REGISTRY_PATH ??= join(root, "node_modules", ".cache", "nova-edge-registry");
const child = spawn(pinnedNode, [join(root, script), ...rest], { cwd: root, env, stdio: ["inherit", "inherit", "inherit", "ipc"] });

// A terminal's Ctrl-C reaches the child by itself; a signal to this process alone has to be handed on.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.connected && child.send({ signal }));
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(1); // whoever started us was killed; the child sees the channel close
}, 1000).unref();
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));
