import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, ROOT } from "./local/build.ts";

// Everything that says whether the project is sound: types, lint, dead code, then all tests. The last line is `N passed, N failed`.
const TYPE_PROJECTS = ["tsconfig.json", "domain", "workers", "workers/web/pages", "test/edge", "test/e2e"];
const results = { passed: 0, failed: 0 };
const directory = mkdtempSync(join(tmpdir(), "nova-edge-test-"));

function run(tool: string, args: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(join(ROOT, "node_modules", ".bin", tool), args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
    child.on("exit", (code) => resolve(code === 0));
    child.on("error", () => resolve(false));
  });
}

async function check(name: string, tool: string, args: string[]): Promise<void> {
  const passed = await run(tool, args);
  results[passed ? "passed" : "failed"] += 1;
  console.log(`${passed ? "✓" : "✗"} ${name}`);
}

/** Runs the tests of some projects and adds up their results; a runner that reports nothing counts as a failure. */
async function vitest(projects: string[], options: string[] = []): Promise<void> {
  const report = join(directory, `${projects[0]}.json`);
  const filter = projects.flatMap((project) => ["--project", project]);
  const passed = await run("vitest", [
    "run",
    ...filter,
    ...options,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ]);
  try {
    const { numPassedTests, numFailedTests, success } = JSON.parse(readFileSync(report, "utf8")) as {
      numPassedTests: number;
      numFailedTests: number;
      success: boolean;
    };
    results.passed += numPassedTests;
    results.failed += numFailedTests;
    if ((!passed || !success) && numFailedTests === 0) results.failed += 1;
  } catch {
    results.failed += 1;
  }
}

try {
  await build();
  results.passed += 1;
  for (const project of TYPE_PROJECTS) await check(`types: ${project}`, "tsc", ["-p", project]);
  await check("lint", "biome", ["check", "--error-on-warnings"]);
  await check("unused code", "knip", []);
  await check("generated types are those of wrangler.toml", "wrangler", [
    "types",
    "--include-runtime=false",
    "--strict-vars=false",
    "--check",
    "worker-configuration.d.ts",
  ]);
  await vitest(["unit"]);
  await vitest(["edge"]);
  await vitest(["origin"]);
  await vitest(["e2e"]);
  // All at once: they hardly need a processor.
  await vitest(["waiting"], ["--maxWorkers=4"]);
} catch (error) {
  results.failed += 1;
  console.error(error instanceof Error ? error.message : error);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
console.log(`${results.passed} passed, ${results.failed} failed`);
process.exit(results.failed === 0 ? 0 : 1);
