import { describe, expect, it } from "vitest";
import { hashViewer, rendezvous } from "../../domain/audience/rendezvous.ts";
import { ClaimOutbox, judgeSeat } from "../../domain/audience/settlement.ts";
import { SHARD_LEASE_MS, ShardLedger } from "../../domain/audience/shard-ledger.ts";
import {
  decideSeat,
  extentOf,
  firstPlan,
  homeOf,
  otherHomesOf,
  ROOT,
  reportIntervalOf,
  shardsOf,
} from "../../domain/audience/shard-plan.ts";
import { CALM_MS, ShardPlanner } from "../../domain/audience/shard-planner.ts";

const load = (sockets: number, knows: number) => ({ sockets, knows, expired: false });
const grown = { version: 3, seed: 5, generations: [0, 1, 2].map((rung) => ({ rung, since: rung + 1 })) };

describe("rendezvous", () => {
  it("spreads viewers evenly, differently for each seed", () => {
    const sizes = new Array<number>(64).fill(0);
    let same = 0;
    for (let at = 0; at < 64_000; at++) {
      const home = rendezvous(hashViewer(`viewer-${at}`, 1), 0, 64);
      sizes[home] = (sizes[home] as number) + 1;
      if (home === rendezvous(hashViewer(`viewer-${at}`, 2), 0, 64)) same++;
    }
    // Six standard deviations of a fair draw.
    expect(Math.max(...sizes)).toBeLessThan(1_190);
    expect(Math.min(...sizes)).toBeGreaterThan(810);
    expect(same).toBeLessThan(1_190);
  });
});

describe("ShardPlan", () => {
  it("has rungs of 1, 4, 8 … 64, 64 members, each with numbers of its own", () => {
    const extents = [0, 1, 2, 3, 4, 5, 6, 7].map(extentOf);
    expect(extents.map(({ size }) => size)).toEqual([1, 4, 8, 16, 32, 64, 64, 64]);
    let next: number = ROOT;
    for (const { first, size } of extents) {
      expect(first).toBe(next);
      next += size;
    }
  });

  it("sends new sockets to the last generation and knows the other homes", () => {
    expect(homeOf(firstPlan(9), "viewer-a")).toBe(ROOT);
    expect(otherHomesOf(firstPlan(9), "viewer-a", ROOT)).toEqual([]);
    const home = homeOf(grown, "viewer-a");
    expect(home).toBeGreaterThanOrEqual(4);
    expect(home).toBeLessThan(12);
    const [root, older] = otherHomesOf(grown, "viewer-a", home);
    expect(root).toBe(ROOT);
    expect([0, 1, 2, 3]).toContain(older);
    expect(otherHomesOf(grown, "viewer-a", older as number)).toEqual([ROOT, home]);
  });

  it("refuses viewers of other members, and those for whom it has no room", () => {
    const home = homeOf(grown, "viewer-a");
    const decide = (member: number, sockets: number, holdsViewer = false) =>
      decideSeat(grown, member, "viewer-a", { sockets, holdsViewer }, 100);
    expect(decide(ROOT, 0)).toBe("misdirected");
    expect(decide(home, 109)).toBe("seat");
    expect(decide(home, 110)).toBe("full");
    expect(decide(home, 110, true)).toBe("seat");
  });

  it("lets the root hear at most 200 reports a second", () => {
    const large = { ...grown, generations: [0, 1, 2, 3, 4, 5, 6].map((rung) => ({ rung, since: 1 })) };
    expect(reportIntervalOf(grown)).toBe(250);
    expect((shardsOf(large).length * 1000) / reportIntervalOf(large)).toBeLessThanOrEqual(200);
  });
});

describe("ShardPlanner", () => {
  const rungs = (planner: ShardPlanner) => planner.plan.generations.map(({ rung }) => rung);

  it("opens a generation at the threshold, and drops one when it is empty and all its members know that it is closed", () => {
    const planner = new ShardPlanner(100, 1);
    expect(planner.decide(99, new Map(), 0)).toBe(false);
    expect(planner.decide(100, new Map(), 0)).toBe(true);
    expect(planner.decide(100, new Map([[2, load(100, 2)]]), 0)).toBe(true);
    expect([planner.plan.version, rungs(planner)]).toEqual([3, [0, 1, 2]]);
    const empty = (knows: number) => new Map([0, 1, 2, 3].map((shard) => [shard, load(0, shard === 3 ? knows : 3)]));
    expect(planner.decide(60, empty(2), 0)).toBe(false);
    expect(planner.decide(60, empty(3), 0)).toBe(true);
    expect(rungs(planner)).toEqual([0, 2]);
    expect(planner.decide(0, empty(3), 0)).toBe(true);
    expect(rungs(planner)).toEqual([2]);
  });

  it("is the root's again after ten calm minutes, also through a loss of memory", () => {
    const planner = new ShardPlanner(100, { plan: grown, calmSince: null });
    expect(planner.decide(49, new Map(), 1_000)).toBe(false);
    expect(planner.decide(30, new Map([[5, load(20, 3)]]), 2_000)).toBe(false);
    expect(planner.nextDecisionAt()).toBeNull();
    planner.decide(49, new Map(), 3_000);
    const woken = new ShardPlanner(100, JSON.parse(JSON.stringify(planner.snapshot())));
    expect(woken.nextDecisionAt()).toBe(3_000 + CALM_MS);
    expect(woken.decide(49, new Map(), 2_999 + CALM_MS)).toBe(false);
    expect(woken.decide(49, new Map(), 3_000 + CALM_MS)).toBe(true);
    expect(rungs(woken)).toEqual([1, 2, 0]);
  });

  it("opens a free generation of the largest size again rather than another", () => {
    const generations = [4, 5, 6].map((rung) => ({ rung, since: rung }));
    const planner = new ShardPlanner(100, { plan: { version: 6, seed: 1, generations }, calmSince: null });
    expect(planner.decide(0, new Map([[124, load(100, 6)]]), 0)).toBe(true);
    expect(rungs(planner)).toEqual([4, 6, 5]);
    const held = new ShardPlanner(100, { plan: { version: 6, seed: 1, generations }, calmSince: null });
    held.decide(0, new Map([60, 124].map((shard) => [shard, load(100, 6)])), 0);
    expect(rungs(held)).toEqual([4, 5, 6, 7]);
  });
});

describe("ShardLedger", () => {
  const report = (shard: number, boot: number, seq: number, sockets: number) => ({
    shard,
    boot,
    seq,
    connected: sockets,
    sockets,
    knows: 1,
  });

  it("takes the newest report of each shard, for the time of a lease", () => {
    const ledger = new ShardLedger();
    expect(ledger.accept(report(0, 1, 5, 10), 0)).toBe(true);
    expect(ledger.accept(report(0, 1, 4, 99), 1)).toBe(false);
    expect(ledger.accept(report(0, 1, 5, 99), 1)).toBe(false);
    expect(ledger.accept({ ...report(1, 1, 1, 7), connected: 6 }, 1_000)).toBe(true);
    expect([ledger.total(1_000), ledger.connected(1_000), ledger.nextExpiryAt(1_000)]).toEqual([17, 16, SHARD_LEASE_MS]);
    expect(ledger.accept(report(0, 2, 1, 3), 2_000)).toBe(true);
    expect([ledger.total(2_000), ledger.nextExpiryAt(2_000)]).toEqual([10, 1_000 + SHARD_LEASE_MS]);

    const woken = new ShardLedger(JSON.parse(JSON.stringify(ledger.snapshot())));
    expect(woken.total(1_000 + SHARD_LEASE_MS)).toBe(3);
    expect(woken.silent([0, 1, 2], 1_000 + SHARD_LEASE_MS)).toEqual([1, 2]);
    expect([woken.total(2_000 + SHARD_LEASE_MS), woken.nextExpiryAt(2_000 + SHARD_LEASE_MS)]).toEqual([0, null]);
    expect(woken.accept(report(0, 1, 9, 99), 2_000 + SHARD_LEASE_MS)).toBe(false);
    expect(woken.loads(2_000 + SHARD_LEASE_MS).get(0)).toEqual({ sockets: 3, knows: 1, expired: true });
  });
});

describe("settlement", () => {
  it("keeps the newer seat, and lets come again those whom the clocks may have wronged", () => {
    const seat = (member: number, joinedAt: number) => ({ member, joinedAt });
    expect(judgeSeat(seat(1, 5_000), seat(2, 4_999))).toBe("stays");
    expect(judgeSeat(seat(1, 5_000), seat(2, 7_000))).toBe("replaced");
    expect(judgeSeat(seat(1, 5_000), seat(2, 6_999))).toBe("contested");
    expect([judgeSeat(seat(1, 5), seat(2, 5)), judgeSeat(seat(2, 5), seat(1, 5))]).toEqual(["contested", "stays"]);
  });

  it("sends each claim until it is answered, one batch at a time", () => {
    const outbox = new ClaimOutbox();
    outbox.add("a", 1, [ROOT, 3]);
    const [toRoot, toShard] = outbox.take(0);
    expect([toRoot, toShard]).toEqual([
      { to: ROOT, claims: [{ viewer: "a", joinedAt: 1 }] },
      { to: 3, claims: [{ viewer: "a", joinedAt: 1 }] },
    ]);
    outbox.add("b", 2, [3]);
    expect([outbox.take(10_000), outbox.nextAt()]).toEqual([[], null]);
    if (toRoot) outbox.answered(toRoot);
    if (toShard) outbox.failed(toShard, 10_000);
    expect(outbox.nextAt()).toBe(11_000);
    expect(outbox.take(11_000)).toMatchObject([{ to: 3, claims: [{ viewer: "a" }, { viewer: "b" }] }]);
    outbox.retain(new Set([ROOT]));
    expect(outbox.nextAt()).toBeNull();
  });
});
