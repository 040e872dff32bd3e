import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { StartError } from "./settings.ts";

export const ROOT = join(import.meta.dirname, "..", "..");
/** Where the built Worker lies. */
export const WORKER_BUNDLE = join(ROOT, "dist", "edge", "index.js");

const SOURCES = [
  "domain",
  "durable-objects",
  "workers",
  "wrangler.toml",
  "vite.config.ts",
  "package-lock.json",
  "docs/streaming-api.openapi.yaml",
];

/** Builds the pages and the Worker, with the tools that deploy them. Does nothing where the sources are those of the last build. */
export async function build(report: (line: string) => void = () => undefined): Promise<void> {
  const wanted = digestSources();
  const stamp = join(ROOT, "dist", ".sources");
  if (existsSync(stamp) && existsSync(WORKER_BUNDLE) && readFileSync(stamp, "utf8") === wanted) return;
  report("building the pages and the Worker…");
  await run("vite", ["build", "--logLevel", "warn"]);
  await run("wrangler", ["deploy", "--dry-run", "--outdir", "dist/edge"]);
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  writeFileSync(stamp, wanted);
}

function digestSources(): string {
  const hash = createHash("sha256");
  const visit = (path: string) => {
    const entry = join(ROOT, path);
    if (!existsSync(entry)) return;
    if (/\.[a-z]+$/.test(path)) hash.update(path).update(readFileSync(entry));
    else for (const name of readdirSync(entry).sort()) visit(join(path, name));
  };
  for (const source of SOURCES) visit(source);
  return hash.digest("hex");
}

async function run(tool: string, args: string[]): Promise<void> {
  try {
    await promisify(execFile)(join(ROOT, "node_modules", ".bin", tool), args, { cwd: ROOT, timeout: 120_000, maxBuffer: 8 << 20 });
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new StartError(`the build failed in ${tool}:\n${stdout}${stderr}`);
  }
}
