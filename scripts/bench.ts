import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type Bench, Cleanup } from "../test/bench/rig/figure.ts";
import { ROOT } from "./local/build.ts";

// Runs test/bench/NAME.ts: figures on stdout, one JSON object a line; everything else on stderr.
const directory = join(ROOT, "test", "bench");
const names = readdirSync(directory)
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -3));
const [name = "", ...rest] = process.argv.slice(2);
// npm hands on the `--` of `npm run bench -- NAME -- --option`.
const options = rest[0] === "--" ? rest.slice(1) : rest;
const cleanup = new Cleanup();
const say = (line: string) => console.error(`bench: ${line}`);
let ending = false;

async function end(code: number): Promise<void> {
  if (ending) return;
  ending = true;
  await cleanup.run();
  process.exit(code);
}

for (const event of ["SIGINT", "SIGTERM", "SIGHUP", "message", "disconnect"]) process.on(event, () => void end(1));
// Whoever read the figures has enough.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => void end(1));

if (!names.includes(name)) {
  console.error(`bench: usage: npm run bench -- NAME [-- options], where NAME is one of: ${names.join(", ")}`);
  process.exit(1);
}
try {
  const { bench } = (await import(join(directory, `${name}.ts`))) as { bench: Bench };
  await bench(options, { emit: (figure) => console.log(JSON.stringify(figure)), say, cleanup });
  await end(0);
} catch (error) {
  if (!ending) say(error instanceof Error ? error.message : String(error));
  await end(1);
}
