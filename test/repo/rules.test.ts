import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";

const TESTS = resolve(import.meta.dirname, "..");
/** How many delivery rules there are of each kind. */
const RULES = { PL: 15, BR: 8, DA: 5, CM: 3 };

it("every delivery rule has a test that carries its number", () => {
  const names = readdirSync(TESTS, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.ts"))
    .flatMap((file) => [...readFileSync(join(TESTS, file), "utf8").matchAll(/(?:\bit|describe)[.\w]*(?:\([^"\n]*\))?\(\s*"([^"]+)"/g)])
    .map((match) => match[1] as string)
    .join("\n");
  const rules = Object.entries(RULES).flatMap(([kind, count]) => Array.from({ length: count }, (_, index) => `[${kind}${index + 1}]`));
  expect(rules.filter((rule) => !names.includes(rule))).toEqual([]);
});
