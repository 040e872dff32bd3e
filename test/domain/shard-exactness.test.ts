import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CLOCK_SKEW_MS } from "../../domain/audience/settlement.ts";
import { ROOT } from "../../domain/audience/shard-plan.ts";
import { AudienceSimulation } from "./audience-simulation.ts";

const VIEWERS = 40;
const WORKERS = 3;

type Command =
  | { kind: "join"; viewer: number; worker: number }
  | { kind: "crowd"; from: number; size: number; worker: number }
  | { kind: "leave" | "vanish"; viewer: number }
  | { kind: "exodus"; keep: number }
  | { kind: "crash" | "evict"; member: number }
  | { kind: "refresh"; worker: number }
  | { kind: "wait"; ms: number }
  | { kind: "faults"; lost: number; doubled: number; slow: number };

const viewer = fc.nat(VIEWERS - 1);
const worker = fc.nat(WORKERS - 1);
const member = fc.integer({ min: ROOT, max: 14 });
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("join" as const), viewer, worker }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("crowd" as const), from: viewer, size: fc.integer({ min: 4, max: 30 }), worker }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("leave" as const, "vanish" as const), viewer }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("exodus" as const), keep: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("crash" as const, "evict" as const), member }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("refresh" as const), worker }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("wait" as const),
      ms: fc.oneof(fc.nat(400), fc.nat(400), fc.nat(5_000), fc.nat(5_000), fc.constant(650_000)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("faults" as const),
      lost: fc.nat(60),
      doubled: fc.nat(60),
      slow: fc.integer({ min: 50, max: 3_000 }),
    }),
  },
);

function run(simulation: AudienceSimulation, next: Command): void {
  switch (next.kind) {
    case "join":
      simulation.join(next.viewer, next.worker);
      break;
    case "crowd":
      for (let at = 0; at < next.size; at++) simulation.join((next.from + at) % VIEWERS, next.worker);
      break;
    case "leave":
      simulation.leave(next.viewer);
      break;
    case "vanish":
      simulation.vanish(next.viewer);
      break;
    case "exodus":
      for (let at = next.keep; at < VIEWERS; at++) simulation.leave(at);
      break;
    case "crash":
      simulation.crash(next.member);
      break;
    case "evict":
      simulation.evict(next.member);
      break;
    case "refresh":
      simulation.refresh(next.worker);
      break;
    case "wait":
      simulation.advance(next.ms);
      break;
    case "faults":
      simulation.network.faults = {
        ...simulation.network.faults,
        lost: next.lost / 100,
        doubled: next.doubled / 100,
        delay: { min: 1, max: next.slow },
      };
  }
}

function build(seed: number, clockError: number): AudienceSimulation {
  return new AudienceSimulation({
    viewers: VIEWERS,
    workers: WORKERS,
    threshold: 3,
    clockError,
    stepMs: 100,
    faults: { seed, lost: 0.1, doubled: 0.1, delay: { min: 1, max: 400 } },
  });
}

function presentViewers(simulation: AudienceSimulation): string[] {
  return Array.from({ length: VIEWERS }, (_, at) => at)
    .filter((at) => simulation.isPresent(at))
    .map((at) => simulation.idOf(at));
}

const MOST_CLOCK_ERROR = CLOCK_SKEW_MS / 2 - 1;

describe("an audience over many objects", () => {
  it("is counted exactly once all is told, whatever was lost, doubled, late, forgotten or stale before", () => {
    const seen = { plans: 0, grown: 0, shrunk: 0, duplicates: 0, contested: 0 };
    fc.assert(
      fc.property(fc.array(command, { minLength: 5, maxLength: 50 }), fc.nat(), fc.nat(MOST_CLOCK_ERROR), (commands, seed, clockError) => {
        const simulation = build(seed, clockError);
        for (const next of commands) {
          run(simulation, next);
          expect(Math.abs(simulation.counted - simulation.present)).toBeLessThanOrEqual(simulation.uncertainty);
          if (simulation.plan.generations.length > 2) seen.grown++;
          if (simulation.planChanges > 0 && simulation.plan.generations.at(-1)?.rung === 0) seen.shrunk++;
        }
        if ([...simulation.seatsOfViewers().values()].some((members) => members.length > 1)) seen.duplicates++;
        seen.plans += simulation.planChanges;

        simulation.quiesce();
        const seats = simulation.seatsOfViewers();
        // Before anybody is swept: those whose socket is dead may still sit, but on one seat, and counted once.
        expect([...seats].filter(([, members]) => members.length > 1)).toEqual([]);
        expect(presentViewers(simulation).filter((id) => !seats.has(id))).toEqual([]);
        expect(simulation.counted).toBe(seats.size);
        seen.contested += simulation.contested;

        simulation.sweep();
        simulation.quiesce();
        expect([...simulation.seatsOfViewers().keys()].sort()).toEqual(presentViewers(simulation));
        expect(simulation.counted).toBe(simulation.present);
        expect(simulation.uncertainty).toBe(0);
        expect(simulation.wronglyReplaced).toBe(0);
      }),
      { numRuns: 2_000 },
    );
    // The sequences did what they are for.
    for (const times of Object.values(seen)) expect(times).toBeGreaterThan(100);
  }, 120_000);

  it("lets go of the shards when all viewers are the root's again", () => {
    fc.assert(
      fc.property(fc.array(command, { minLength: 5, maxLength: 40 }), fc.nat(), (commands, seed) => {
        const simulation = build(seed, 0);
        for (const next of commands) run(simulation, next);
        for (let at = 1; at < VIEWERS; at++) simulation.leave(at);
        simulation.sweep();
        simulation.quiesce();
        simulation.join(0, 0);
        simulation.advance(650_000);
        simulation.join(0, 0);
        simulation.quiesce();
        expect(simulation.plan.generations.map(({ rung }) => rung)).toEqual([0]);
        expect([...simulation.seatsOfViewers()]).toEqual([[simulation.idOf(0), [ROOT]]]);
        expect(simulation.counted).toBe(1);
      }),
      { numRuns: 300 },
    );
  }, 60_000);
});
