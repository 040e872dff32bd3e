import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { prepareRunDirectory } from "../../origin/run-directory.ts";

it("a run directory is private, and free of what a killed origin left in it", () => {
  const parent = mkdtempSync(join(tmpdir(), "nova-run-"));
  try {
    const path = join(parent, "deep", "run");
    prepareRunDirectory(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    for (const name of ["ff-a1B2c3", "ingest-Zz9y8X", "ff-notes", "kept"]) {
      mkdirSync(join(path, name));
      writeFileSync(join(path, name, "s"), "");
    }
    prepareRunDirectory(path);
    expect(readdirSync(path).sort()).toEqual(["ff-notes", "kept"]);
  } finally {
    rmSync(parent, { recursive: true });
  }
});
