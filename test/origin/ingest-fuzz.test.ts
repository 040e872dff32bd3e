import { beforeAll, describe, expect, it } from "vitest";
import { type FuzzTarget, fuzz } from "../fakes/rtmp/fuzz.ts";
import { fuzzTargets } from "../fakes/rtmp/fuzz-targets.ts";

const SEEDS = [1, 20_261_121];
const EXECUTIONS = 3_000;

let targets: FuzzTarget[];
beforeAll(async () => {
  targets = await fuzzTargets();
}, 30_000);

describe("parsers of what strangers send", () => {
  it("refuse harmed input, never fail otherwise, and never take long", () => {
    for (const target of targets) {
      for (const seed of SEEDS) {
        const { uncaught, hangs, refused } = fuzz(target, EXECUTIONS, seed);
        const findings = [...uncaught].map(
          ([kind, input]) => `${target.name}: ${kind}, for example on ${input.toString("base64").slice(0, 400)}`,
        );
        expect(findings).toEqual([]);
        expect(hangs.map((input) => input.toString("base64"))).toEqual([]);
        // Harm that never shows would prove nothing.
        if (target.isRefusal) expect(refused, target.name).toBeGreaterThan(EXECUTIONS / 20);
      }
    }
  });

  it("take what is right", () => {
    for (const { name, seeds, execute } of targets) for (const seed of seeds) expect(() => execute(seed, () => 0.5), name).not.toThrow();
  });
});
