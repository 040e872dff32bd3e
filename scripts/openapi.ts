import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./local/build.ts";
import { encodeWrittenFiles } from "./openapi/written-files.ts";

// Writes the API's document and the types of its client anew. With --check it only says which of them are not those of the code.
const files = Object.entries(await encodeWrittenFiles());
if (process.argv.includes("--check")) {
  const stale = files.filter(([path, text]) => readFileSync(join(ROOT, path), "utf8") !== text).map(([path]) => path);
  console.log(stale.length === 0 ? "up to date" : `not those of the code: ${stale.join(", ")}: run npm run openapi`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else for (const [path, text] of files) writeFileSync(join(ROOT, path), text);
