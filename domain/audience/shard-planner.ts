import type { Millis } from "../time.ts";
import { extentOf, firstPlan, type Member, membersOfRung, newestOf, ROOT, type ShardPlan } from "./shard-plan.ts";

/** What the root knows of a member. */
export interface MemberLoad {
  /** As last reported. */
  sockets: number;
  /** The version of the plan that the member knew then. */
  knows: number;
  /** Its lease ran out: the number may be wrong, though a 0 under a plan that closed its generation stays one. */
  expired: boolean;
}

interface PlannerSnapshot {
  plan: ShardPlan;
  calmSince: Millis | null;
}

/** How long an audience is small before it is the root's alone again. */
export const CALM_MS: Millis = 600_000;

/** Opens and closes generations; the root's. A plan is to be stored before anybody is told of it. */
export class ShardPlanner {
  readonly #threshold: number;
  #plan: ShardPlan;
  #calmSince: Millis | null;

  /** @param threshold sockets of a member at which the next generation opens. @param start what was kept, or the seed of a new plan */
  constructor(threshold: number, start: PlannerSnapshot | number) {
    this.#threshold = threshold;
    this.#plan = typeof start === "number" ? firstPlan(start) : start.plan;
    this.#calmSince = typeof start === "number" ? null : start.calmSince;
  }

  get plan(): ShardPlan {
    return this.#plan;
  }

  /** When to decide again even if no load changes; null where never. */
  nextDecisionAt(): Millis | null {
    return this.#calmSince === null ? null : this.#calmSince + CALM_MS;
  }

  snapshot(): PlannerSnapshot {
    return { plan: this.#plan, calmSince: this.#calmSince };
  }

  /** Looks at the loads, after a report or at `nextDecisionAt`. Returns whether the plan is another now. */
  decide(rootSockets: number, shards: ReadonlyMap<Member, MemberLoad>, now: Millis): boolean {
    const before = this.#plan;
    const loadOf = (member: Member): MemberLoad | null =>
      member === ROOT ? { sockets: rootSockets, knows: before.version, expired: false } : (shards.get(member) ?? null);
    const total = [...shards.values()].reduce((sum, load) => sum + (load.expired ? 0 : load.sockets), rootSockets);
    const calm = newestOf(before).rung > 0 && total < this.#threshold / 2;
    this.#calmSince = calm ? (this.#calmSince ?? now) : null;

    let generations = before.generations.filter(({ rung }, index) => {
      const next = before.generations[index + 1];
      return next === undefined || !membersOfRung(rung).every((member) => isEmptyForGood(loadOf(member), next.since));
    });
    const opened = this.#rungToOpen(loadOf, now);
    if (opened !== null) {
      generations = generations.filter(({ rung }) => rung !== opened);
      generations.push({ rung: opened, since: before.version + 1 });
      this.#calmSince = null;
    }
    if (opened === null && generations.length === before.generations.length) return false;
    this.#plan = { ...before, version: before.version + 1, generations };
    return true;
  }

  #rungToOpen(loadOf: (member: Member) => MemberLoad | null, now: Millis): number | null {
    const newest = newestOf(this.#plan).rung;
    const fullest = Math.max(...membersOfRung(newest).map((member) => liveSockets(loadOf(member))));
    if (fullest >= this.#threshold) {
      // After everybody has come anew (a deployment) lower rungs are free again, and no further objects are needed.
      const size = extentOf(newest + 1).size;
      const isFree = (member: Member) => (loadOf(member)?.sockets ?? 0) < this.#threshold / 2;
      for (let rung = 1; ; rung++) {
        if (rung !== newest && extentOf(rung).size >= size && membersOfRung(rung).every(isFree)) return rung;
      }
    }
    return this.#calmSince !== null && now - this.#calmSince >= CALM_MS ? 0 : null;
  }
}

/** Whether a member of a generation that `closedBy` closed holds nobody, and seats nobody any more. */
function isEmptyForGood(load: MemberLoad | null, closedBy: number): boolean {
  return load !== null && load.sockets === 0 && load.knows >= closedBy;
}

function liveSockets(load: MemberLoad | null): number {
  return load === null || load.expired ? 0 : load.sockets;
}
