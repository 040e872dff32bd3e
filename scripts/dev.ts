import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./local/build.ts";
import { loadSecrets, prepareDataDir, readLocalSettings } from "./local/settings.ts";

// The edge in `wrangler dev`, which rebuilds the Worker at every change. The origin is run beside it by hand: see CONTRIBUTING.md.
const settings = readLocalSettings(process.env);
prepareDataDir(settings.dataDir);
const secrets = loadSecrets(settings.dataDir, process.env);
const lines = Object.entries(secrets).map(([name, value]) => `${name}="${value}"`);
writeFileSync(join(ROOT, ".dev.vars"), `${lines.join("\n")}\n`, { mode: 0o600 });

function run(tool: string, args: string[]): Promise<number> {
  const child = spawn(join(ROOT, "node_modules", ".bin", tool), args, { cwd: ROOT, stdio: "inherit" });
  return new Promise((resolve) => child.on("exit", (code) => resolve(code ?? 1)));
}

await run("vite", ["build", "--logLevel", "warn"]);
await run("wrangler", ["d1", "migrations", "apply", "DB", "--local"]);
process.exit(await run("wrangler", ["dev", "--port", String(settings.port)]));
