import { type Claim, ClaimOutbox, judgeSeat } from "../../domain/audience/settlement.ts";
import { SHARD_RENEWAL_MS, type ShardReport } from "../../domain/audience/shard-ledger.ts";
import { firstPlan, type Member, newerPlan, otherHomesOf, ROOT, type ShardPlan } from "../../domain/audience/shard-plan.ts";
import type { Millis } from "../../domain/time.ts";

interface HeldSeat {
  joinedAt: Millis;
  socket: number;
}

interface Dropped {
  socket: number;
  verdict: "replaced" | "contested";
}

/** A root or shard as an object would be: a set of seats, what it stores (`plan`, `boot`), and what it has to tell. */
export class SimulatedMember {
  readonly number: Member;
  readonly seats = new Map<string, HeldSeat>();
  plan: ShardPlan;
  boot = 0;
  awake = false;
  outbox = new ClaimOutbox();
  /** Something is to be reported. */
  changed = false;
  /** How often the set has changed, ever. */
  changes = 0;
  #seq = 0;
  #reportedAt: Millis = Number.NEGATIVE_INFINITY;
  /** The plan's version under which it has told at once that it is at the threshold. */
  #alarmedAt = 0;
  readonly #clockError: Millis;

  constructor(number: Member, clockError: Millis, seed: number) {
    this.number = number;
    this.#clockError = clockError;
    this.plan = firstPlan(seed);
  }

  get hasNews(): boolean {
    return (this.changed && this.number !== ROOT) || this.outbox.nextAt() !== null;
  }

  /** A new life, if it has none. */
  wake(): void {
    if (this.awake) return;
    this.awake = true;
    this.#begin();
  }

  crash(): void {
    this.changes += this.seats.size;
    this.seats.clear();
    this.awake = false;
  }

  /** A new life with the sockets of the last one. */
  evict(): void {
    this.#begin();
    for (const [viewer, { joinedAt }] of this.seats) this.outbox.add(viewer, joinedAt, otherHomesOf(this.plan, viewer, this.number));
  }

  /** Returns whether the plan was news. */
  learn(plan: ShardPlan): boolean {
    if (newerPlan(this.plan, plan) === this.plan) return false;
    this.plan = plan;
    this.changed = true;
    return true;
  }

  seat(viewer: string, socket: number, now: Millis): void {
    const joinedAt = now + this.#clockError;
    if (!this.seats.has(viewer)) this.#count();
    this.seats.set(viewer, { joinedAt, socket });
    this.outbox.add(viewer, joinedAt, otherHomesOf(this.plan, viewer, this.number));
  }

  unseat(viewer: string): void {
    if (this.seats.delete(viewer)) this.#count();
  }

  judge(claims: readonly Claim[], elsewhere: Member): { newer: Claim[]; dropped: Dropped[] } {
    const newer: Claim[] = [];
    const dropped: Dropped[] = [];
    for (const { viewer, joinedAt } of claims) {
      const held = this.seats.get(viewer);
      if (held === undefined) continue;
      const verdict = judgeSeat({ member: this.number, joinedAt: held.joinedAt }, { member: elsewhere, joinedAt });
      if (verdict === "stays") newer.push({ viewer, joinedAt: held.joinedAt });
      else {
        this.unseat(viewer);
        dropped.push({ socket: held.socket, verdict });
      }
    }
    return { newer, dropped };
  }

  reportDue(now: Millis, interval: Millis, threshold: number): boolean {
    const waited = now - this.#reportedAt;
    if (this.seats.size >= threshold && this.#alarmedAt < this.plan.version) {
      this.#alarmedAt = this.plan.version;
      return true;
    }
    return waited >= SHARD_RENEWAL_MS || (this.changed && waited >= interval);
  }

  report(now: Millis): ShardReport {
    this.changed = false;
    this.#reportedAt = now;
    const size = this.seats.size;
    return { shard: this.number, boot: this.boot, seq: ++this.#seq, connected: size, sockets: size, knows: this.plan.version };
  }

  #begin(): void {
    this.boot++;
    this.#seq = 0;
    this.#reportedAt = Number.NEGATIVE_INFINITY;
    this.#alarmedAt = 0;
    this.outbox = new ClaimOutbox();
    this.changed = true;
  }

  #count(): void {
    this.changes++;
    this.changed = true;
  }
}
