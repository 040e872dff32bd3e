import { createRandom, mutate } from "./mutation.ts";

/** A parser of what strangers send. */
export interface FuzzTarget {
  name: string;
  /** What it is right to send; harm is done to copies of these. */
  seeds: readonly Buffer[];
  /** Where harm begins, mostly; the start by default. */
  from?: number;
  /** Whether an error is one that the parser's callers catch. None is, by default. */
  isRefusal?: (error: Error) => boolean;
  execute(input: Buffer, random: () => number): void;
}

/** What came of some executions. */
export interface FuzzOutcome {
  executions: number;
  /** Inputs that were refused as they should be. */
  refused: number;
  /** Errors that nobody would have caught, by their kind, each with the first input that had it. */
  uncaught: Map<string, Buffer>;
  /** Inputs that took too long each time they were tried. */
  hangs: Buffer[];
}

/** The longest that one execution may take, ms. */
const LONGEST_MS = 50;
const TRIES = 3;

/** Runs a target on harmed inputs, the same ones for the same seed. */
export function fuzz(target: FuzzTarget, executions: number, seed: number): FuzzOutcome {
  const random = createRandom(seed);
  const outcome: FuzzOutcome = { executions, refused: 0, uncaught: new Map(), hangs: [] };
  for (let execution = 0; execution < executions; execution++) {
    const original = target.seeds[Math.floor(random() * target.seeds.length)];
    if (!original || original.length === 0) throw new Error(`${target.name} has a seed that is none`);
    const input = mutate(original, random() < 0.1 ? 0 : (target.from ?? 0), random);
    const childSeed = Math.floor(random() * 2 ** 32);
    if (run(target, input, childSeed, outcome) < LONGEST_MS) continue;
    // The machine may have been busy elsewhere.
    const again = Array.from({ length: TRIES - 1 }, () => run(target, input, childSeed, outcome));
    if (Math.min(...again) >= LONGEST_MS) outcome.hangs.push(input);
  }
  return outcome;
}

function run(target: FuzzTarget, input: Buffer, seed: number, outcome: FuzzOutcome): number {
  const startedAt = performance.now();
  try {
    target.execute(input, createRandom(seed));
  } catch (error) {
    const isRefusal = error instanceof Error && target.isRefusal?.(error);
    if (isRefusal) outcome.refused += 1;
    else {
      const kind = describe(error);
      if (!outcome.uncaught.has(kind)) outcome.uncaught.set(kind, input);
    }
  }
  return performance.now() - startedAt;
}

/** The error's name, its words without figures, and where it was thrown. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return `no Error: ${typeof error}`;
  const at = /\/((?:origin|node_modules)\/[^)\s]+)/.exec(error.stack ?? "")?.[1] ?? "?";
  return `${error.name}: ${error.message.slice(0, 80).replace(/\d+/g, "N")} at ${at}`;
}
