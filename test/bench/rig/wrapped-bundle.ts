import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Modules that export `wrapWorker` and `wrapClass`. */
const WRAPPERS = {
  "counted-d1": new URL("./counted-d1.mjs", import.meta.url),
  "open-d1": new URL("./open-d1.mjs", import.meta.url),
};
/** What can be put around the built Worker. */
export type BundleWrapper = keyof typeof WRAPPERS;

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
  copyFileSync(fileURLToPath(WRAPPERS[wrapper]), files.wrapper);
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
