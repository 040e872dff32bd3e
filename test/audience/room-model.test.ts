import fc from "fast-check";
import { describe, it } from "vitest";
import { type Resume, RoomWorld } from "./room-world.ts";

const VIEWERS = 6;
const SEQUENCES = 10_000;
/** The same sequences each time, unless another seed is asked for. */
const SEED = Number(process.env.ROOM_SEED ?? 1);

type Command = (world: RoomWorld) => void;

/** A command that prints as it would be written. */
function command<Args extends unknown[]>(
  weight: number,
  name: string,
  args: { [Index in keyof Args]: fc.Arbitrary<Args[Index]> },
  run: (world: RoomWorld, ...args: Args) => void,
): fc.WeightedArbitrary<Command> {
  const arbitrary = fc.tuple(...args).map((values) => {
    const described = `${name}(${values.map((value) => JSON.stringify(value)).join(", ")})`;
    return Object.assign((world: RoomWorld) => run(world, ...(values as Args)), { [fc.toStringMethod]: () => described });
  });
  return { weight, arbitrary: arbitrary as fc.Arbitrary<Command> };
}

const client = fc.nat(9);
const resume = fc.constantFrom<Resume[]>("none", "left", "left", "left", "stale", "stale", "ahead", "elsewhere");
const violation = fc.constantFrom("binary" as const, "large" as const, "no json" as const, "no message" as const, "ahead" as const);
const characters = fc.oneof(fc.nat(200), fc.nat(4_000), fc.integer({ min: 8_000, max: 20_000 }));

const commands = [
  command(14, "join", [fc.nat(VIEWERS - 1), resume, fc.nat(30)], (world, viewer, how, behind) => world.join(viewer, how, behind)),
  command(5, "close", [client, fc.boolean()], (world, which, late) => world.close(which, late)),
  command(2, "runLateHandlers", [], (world) => world.runLateHandlers()),
  command(2, "halfOpen", [client], (world, which) => world.halfOpen(which)),
  command(6, "ping", [client], (world, which) => world.ping(which)),
  command(3, "playback", [client], (world, which) => world.playback(which)),
  command(5, "acknowledge", [client, fc.oneof(fc.constant(0), fc.nat(30))], (world, which, behind) => world.acknowledge(which, behind)),
  command(1, "breakProtocol", [client, violation], (world, which, what) => world.breakProtocol(which, what)),
  command(1, "flood", [client, fc.integer({ min: 2, max: 12 })], (world, which, count) => world.flood(which, count)),
  command(8, "tell", [fc.integer({ min: 1, max: 6 }), characters, fc.boolean()], (world, count, size, wide) =>
    world.tell(count, size, wide),
  ),
  command(1, "claim", [fc.nat(VIEWERS - 1), fc.oneof(fc.constant(0), fc.integer({ min: -3_000, max: 3_000 }))], (world, viewer, laterMs) =>
    world.claim(viewer, laterMs),
  ),
  command(8, "wait", [fc.oneof(fc.nat(3_000), fc.nat(70_000))], (world, ms) => world.wait(ms)),
  command(1, "setClock", [fc.integer({ min: -300_000, max: 300_000 })], (world, ms) => world.setClock(ms)),
  command(7, "sweep", [fc.boolean()], (world, due) => world.sweep(due)),
  command(5, "hibernate", [], (world) => world.hibernate()),
  command(3, "restart", [fc.oneof(fc.constant(0), fc.nat(30_000))], (world, afterMs) => world.restart(afterMs)),
];

const limits = fc.record({
  sockets: fc.constantFrom(100, 100, 4),
  socketsPerAddress: fc.constantFrom(100, 100, 1),
  socketsInProcess: fc.constant(null),
});

function run(world: RoomWorld, sequence: readonly Command[]): void {
  try {
    world.check();
    for (const next of sequence) {
      next(world);
      world.check();
    }
  } finally {
    world.dispose();
  }
}

/** More small events than are kept. */
const manyEvents = command(8, "tell", [fc.integer({ min: 300, max: 600 }), fc.nat(3)], (world, count, size) =>
  world.tell(count, size, false),
);

function assertHolds(arbitrary: fc.Arbitrary<Command>, numRuns: number): void {
  const sequences = fc.array(arbitrary, { maxLength: 50, size: "max" });
  fc.assert(
    fc.property(limits, sequences, (most, sequence) => run(new RoomWorld(most), sequence)),
    { numRuns, seed: SEED },
  );
}

describe("Room", () => {
  it("counts, tells and notes down, after any history, what its viewers do", { timeout: 120_000 }, () => {
    assertHolds(fc.oneof(...commands), SEQUENCES);
  });

  it("does so where there were more events than are kept", { timeout: 60_000 }, () => {
    assertHolds(fc.oneof(...commands, manyEvents), SEQUENCES / 50);
  });
});
