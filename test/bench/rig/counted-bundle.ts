import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The modules of a built Worker with its queries of D1 counted, entry first; the files lie in `directory`. Throws where the bundle's exports cannot be read. */
export function writeCountedBundle(bundle: string, directory: string): string[] {
  const [, list = ""] = /\bexport\s*\{([^}]*)\}\s*;?\s*(?:\/\/[^\n]*\s*)*$/.exec(readFileSync(bundle, "utf8")) ?? [];
  const names = list
    .split(",")
    .map(
      (entry) =>
        entry
          .trim()
          .split(/\s+as\s+/)
          .at(-1) ?? "",
    )
    .filter((name) => name !== "");
  if (!names.includes("default")) throw new Error("the built Worker does not end with a list of its exports");
  const classes = names.filter((name) => /^[A-Z]/.test(name));
  const files = { entry: join(directory, "entry.js"), counting: join(directory, "counted-d1.js"), worker: join(directory, "worker.js") };
  copyFileSync(bundle, files.worker);
  copyFileSync(fileURLToPath(new URL("./counted-d1.mjs", import.meta.url)), files.counting);
  writeFileSync(
    files.entry,
    `import * as worker from "./worker.js";
import { countedClass, countedWorker } from "./counted-d1.js";
${classes.map((name) => `export const ${name} = countedClass(worker.${name});`).join("\n")}
export default countedWorker(worker.default);
`,
  );
  return [files.entry, files.counting, files.worker];
}
