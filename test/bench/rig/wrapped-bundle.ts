import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What can be put around the built Worker: a module of this room that exports `wrapWorker` and `wrapClass`. */
export type BundleWrapper = "counted-d1" | "open-d1";

/** The modules of a built Worker within a wrapper, entry first; the files lie in `directory`. Throws where the bundle's exports cannot be read. */
export function writeWrappedBundle(bundle: string, wrapper: BundleWrapper, directory: string): string[] {
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
  const files = { entry: join(directory, "entry.js"), wrapper: join(directory, "wrapper.js"), worker: join(directory, "worker.js") };
  copyFileSync(bundle, files.worker);
  copyFileSync(fileURLToPath(new URL(`./${wrapper}.mjs`, import.meta.url)), files.wrapper);
  writeFileSync(
    files.entry,
    `import * as worker from "./worker.js";
import { wrapClass, wrapWorker } from "./wrapper.js";
${classes.map((name) => `export const ${name} = wrapClass(worker.${name});`).join("\n")}
export default wrapWorker(worker.default);
`,
  );
  return [files.entry, files.wrapper, files.worker];
}
