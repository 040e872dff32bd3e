import { expect, it } from "vitest";
import { homeOf, membersOfRung, ROOT } from "../../domain/audience/shard-plan.ts";
import { AudienceSimulation } from "./audience-simulation.ts";
import { randomNumbers } from "./simulated-network.ts";

const VIEWERS = 1_000_000;
const THRESHOLD = 8_000;
const WORKERS = 200;

/** A stream of a million viewers; arrivals a second as in the first minutes of a big event. */
function build(): AudienceSimulation {
  return new AudienceSimulation({
    viewers: VIEWERS,
    workers: WORKERS,
    threshold: THRESHOLD,
    clockError: 20,
    stepMs: 100,
    faults: { seed: 20_261_121, lost: 0.005, doubled: 0.005, delay: { min: 10, max: 90 } },
  });
}

function expectExact(simulation: AudienceSimulation): void {
  while (!simulation.isIdle) simulation.advance(500);
  expect(simulation.counted).toBe(simulation.present);
}

/** Full generations are even; of a few sockets chance makes some unevenness. */
function expectEven(simulation: AudienceSimulation): number {
  let checked = 0;
  for (const { rung } of simulation.plan.generations) {
    const { ratio, mean } = simulation.imbalanceOf(rung);
    if (mean < THRESHOLD / 4) continue;
    expect(ratio).toBeLessThan(1.1);
    checked++;
  }
  return checked;
}

it("counts a million viewers exactly while they come, come back and go, and asks little of the root", () => {
  const simulation = build();
  const random = randomNumbers(7);
  const anyWorker = () => Math.floor(random() * WORKERS);
  let arrived = 0;

  const arrive = (perSecond: number, until: number) => {
    while (arrived < until) {
      for (let at = 0; at < perSecond / 10 && arrived < until; at++) simulation.join(arrived++, anyWorker());
      // Two in a hundred lose their connection each second of the rush: their old socket is still somebody's when they are back.
      for (let at = 0; at < perSecond / 500; at++) simulation.join(Math.floor(random() * arrived), anyWorker());
      simulation.advance(100);
    }
  };

  let evenGenerations = 0;
  for (const [perSecond, until] of [
    [2_000, 20_000],
    [5_000, 100_000],
    [10_000, 400_000],
    [10_000, VIEWERS],
  ] as const) {
    arrive(perSecond, until);
    expectExact(simulation);
    expect(simulation.present).toBe(until);
    evenGenerations += expectEven(simulation);
  }
  expect(evenGenerations).toBeGreaterThan(10);
  const changesUp = simulation.planChanges;
  expect(changesUp).toBeLessThanOrEqual(8);

  // Some close the page, some come back at once: 100,000 of them, in 20 s.
  for (let round = 0; round < 200; round++) {
    for (let at = 0; at < 250; at++) simulation.leave(Math.floor(random() * VIEWERS));
    for (let at = 0; at < 250; at++) simulation.join(Math.floor(random() * VIEWERS), anyWorker());
    simulation.advance(100);
  }
  expectExact(simulation);

  // A shard is lost with its sockets, the root with its memory.
  simulation.crash(membersOfRung(4)[0] as number);
  simulation.evict(ROOT);
  simulation.sweep();
  simulation.quiesce();
  expect(simulation.counted).toBe(simulation.present);

  // The end: all but a thousand go within a minute; those close their pages later, or come back to the root.
  for (let viewer = 1_000; viewer < VIEWERS; viewer++) {
    simulation.leave(viewer);
    if (viewer % 1_700 === 0) simulation.advance(100);
  }
  expectExact(simulation);
  simulation.advance(640_000);
  expect(simulation.plan.generations.at(-1)?.rung).toBe(0);
  for (let viewer = 0; viewer < 1_000; viewer++) simulation.join(viewer, anyWorker());
  simulation.quiesce();
  expect(simulation.counted).toBe(1_000);
  expect(simulation.plan.generations.map(({ rung }) => rung)).toEqual([0]);
  expect(homeOf(simulation.plan, simulation.idOf(0))).toBe(ROOT);

  expect(simulation.refused).toBe(0);
  expect(simulation.fullest).toBeLessThanOrEqual(THRESHOLD * 1.15);
  expect(simulation.planChanges - changesUp).toBeLessThanOrEqual(10);
  // A join weighs each member of the plan at most twice.
  expect(simulation.mostMembers).toBeLessThanOrEqual(256);
  expect(Math.max(...simulation.reportsPerSecond.values())).toBeLessThanOrEqual(250);
  expect(Math.max(...simulation.rootClaimsPerSecond.values())).toBeLessThanOrEqual(5 * 64);
}, 60_000);
