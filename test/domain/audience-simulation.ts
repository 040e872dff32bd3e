import type { Claim, ClaimBatch } from "../../domain/audience/settlement.ts";
import { SHARD_LEASE_MS, SHARD_RENEWAL_MS, ShardLedger, type ShardReport } from "../../domain/audience/shard-ledger.ts";
import {
  decideSeat,
  extentOf,
  homeOf,
  type Member,
  membersOfRung,
  newerPlan,
  ROOT,
  reportIntervalOf,
  type ShardPlan,
  shardsOf,
} from "../../domain/audience/shard-plan.ts";
import { ShardPlanner } from "../../domain/audience/shard-planner.ts";
import type { Millis } from "../../domain/time.ts";
import { SimulatedMember } from "./simulated-member.ts";
import { type NetworkFaults, SimulatedNetwork } from "./simulated-network.ts";

export interface SimulationOptions {
  viewers: number;
  workers: number;
  threshold: number;
  faults: NetworkFaults;
  /** Members' clocks are off by at most this, to either side. */
  clockError: Millis;
  stepMs: Millis;
}

const RPC_TIMEOUT_MS: Millis = 1_000;
const LEDGER_SAVED_EVERY_MS: Millis = 10_000;
/** So much time passes in longer steps: until a member looks at its clock, not until a message arrives. */
const LONG_MS: Millis = 20_000;
const LONG_STEP_MS: Millis = 5_000;
const NOBODY = -1;

/**
 * A stream's members, the Workers in front of them and the network between them. Requests of Workers arrive at once, with whatever plan
 * the Worker has; messages between members go through the network. A viewer has one current socket, or none; one that it has given
 * up unnoticed stays in a member's set until it is swept or settled.
 */
export class AudienceSimulation {
  readonly network: SimulatedNetwork;
  readonly members = new Map<Member, SimulatedMember>();
  now: Millis = 0;
  /** Viewers with a current socket. */
  present = 0;
  planChanges = 0;
  refused = 0;
  fullest = 0;
  mostMembers = 0;
  /** Viewers that were told not to come again although they were there. */
  wronglyReplaced = 0;
  /** Viewers that lost their socket to clocks that differ, and come again. */
  contested = 0;
  readonly reportsPerSecond = new Map<number, number>();
  readonly rootClaimsPerSecond = new Map<number, number>();

  readonly #options: SimulationOptions;
  readonly #workers: ShardPlan[];
  readonly #current: Int32Array;
  /** Counts what each viewer did: who has left does not come again. */
  readonly #moves: Uint32Array;
  readonly #viewerOfSocket: number[] = [];
  readonly #memberOfSocket: Member[] = [];
  #planner: ShardPlanner;
  #ledger = new ShardLedger();
  /** What outlives the root's memory. */
  #stored: { planner: string; ledger: string; changes: [Member, number][] };
  #ledgerSavedAt: Millis = 0;
  #askedAt: Millis = 0;
  #rootChangesDecided = 0;
  /** Each shard's count of changes as of the report that the root has: what its number may be off by is the changes since. */
  #changesReported = new Map<Member, number>();

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.network = new SimulatedNetwork(options.faults);
    this.#planner = new ShardPlanner(options.threshold, options.faults.seed);
    this.#stored = { planner: JSON.stringify(this.#planner.snapshot()), ledger: "[]", changes: [] };
    this.#workers = Array.from({ length: options.workers }, () => this.#planner.plan);
    this.#current = new Int32Array(options.viewers).fill(NOBODY);
    this.#moves = new Uint32Array(options.viewers);
    this.#wake(ROOT);
  }

  get plan(): ShardPlan {
    return this.#planner.plan;
  }

  /** The count as the root tells it. */
  get counted(): number {
    return this.#member(ROOT).seats.size + this.#ledger.total(this.now);
  }

  /** By how much `counted` may be off now: changes that the root has not heard of, and sockets that are nobody's any more. */
  get uncertainty(): number {
    const loads = this.#ledger.loads(this.now);
    let unheard = 0;
    let seats = 0;
    for (const [number, member] of this.members) {
      seats += member.seats.size;
      if (number === ROOT) continue;
      unheard += member.changes - (this.#changesReported.get(number) ?? 0) + (loads.get(number)?.expired ? member.seats.size : 0);
    }
    return unheard + seats - this.present;
  }

  isPresent(viewer: number): boolean {
    return this.#current[viewer] !== NOBODY;
  }

  idOf(viewer: number): string {
    return `viewer-${viewer.toString(36).padStart(12, "0")}`;
  }

  /** A viewer opens a socket through a Worker. One that it has is given up without a word. False where no member had room. */
  join(viewer: number, worker: number): boolean {
    const id = this.idOf(viewer);
    this.vanish(viewer);
    for (let attempt = 0; attempt < 8; attempt++) {
      const plan = this.#workers[worker] as ShardPlan;
      const member = this.#wake(homeOf(plan, id));
      this.#learn(member, plan);
      const load = { sockets: member.seats.size, holdsViewer: member.seats.has(id) };
      const decision = decideSeat(member.plan, member.number, id, load, this.#options.threshold);
      if (decision === "seat") {
        const socket = this.#viewerOfSocket.push(viewer) - 1;
        this.#memberOfSocket.push(member.number);
        this.#current[viewer] = socket;
        this.present++;
        member.seat(id, socket, this.now);
        this.fullest = Math.max(this.fullest, member.seats.size);
        if (member.number === ROOT && member.seats.size >= this.#options.threshold) this.#decide();
        return true;
      }
      if (decision === "full") {
        if (member.number === ROOT) this.#decide();
        else this.#receiveReport(this.#reportOf(member), member.changes);
        this.#learn(member, this.#planner.plan);
      }
      const told = newerPlan(member.plan, plan);
      if (decision === "full" && homeOf(told, id) === member.number) break;
      this.#workers[worker] = told;
    }
    this.refused++;
    return false;
  }

  /** A viewer closes its socket; the member hears of it. */
  leave(viewer: number): void {
    const socket = this.#current[viewer] as number;
    this.vanish(viewer);
    if (socket === NOBODY) return;
    const id = this.idOf(viewer);
    const member = this.#member(this.#memberOfSocket[socket] as Member);
    if (member.seats.get(id)?.socket === socket) member.unseat(id);
  }

  /** A viewer's socket is dead, and nobody tells the member. */
  vanish(viewer: number): void {
    this.#moves[viewer] = (this.#moves[viewer] as number) + 1;
    if (this.#current[viewer] === NOBODY) return;
    this.#current[viewer] = NOBODY;
    this.present--;
  }

  /** Members remove the sockets that have not answered for long. */
  sweep(): void {
    for (const member of this.members.values()) {
      for (const [id, { socket }] of member.seats) if (!this.#isCurrent(socket)) member.unseat(id);
    }
  }

  /** A shard is gone with its sockets; it lives again when somebody calls it. What it stored stays. */
  crash(shard: Member): void {
    const member = this.members.get(shard);
    if (member === undefined || shard === ROOT) return;
    for (const { socket } of member.seats.values()) if (this.#isCurrent(socket)) this.vanish(this.#viewerOfSocket[socket] as number);
    member.crash();
  }

  /** A member loses its memory; its sockets and its storage outlive that. */
  evict(number: Member): void {
    const member = this.members.get(number);
    if (member === undefined || !member.awake) return;
    member.evict();
    if (number !== ROOT) return;
    this.#planner = new ShardPlanner(this.#options.threshold, JSON.parse(this.#stored.planner));
    this.#ledger = new ShardLedger(JSON.parse(this.#stored.ledger));
    this.#changesReported = new Map(this.#stored.changes);
  }

  /** A Worker asks the root for the plan. */
  refresh(worker: number): void {
    this.#workers[worker] = this.#planner.plan;
  }

  /** Lets time pass; in long steps where nothing is under way. */
  advance(duration: Millis): void {
    const end = this.now + duration;
    while (this.now < end) {
      const step = end - this.now > LONG_MS ? LONG_STEP_MS : this.#options.stepMs;
      const to = Math.min(end, this.now + (this.isIdle ? 5_000 : step));
      this.network.deliver(to, (at) => {
        this.now = at;
      });
      this.now = to;
      for (const member of this.members.values()) if (member.awake) this.#pump(member);
      const asks = this.now - this.#askedAt >= SHARD_RENEWAL_MS;
      if (asks) this.#askSilent();
      const rootChanges = this.#member(ROOT).changes;
      const calmEndsAt = this.#planner.nextDecisionAt();
      if (asks || rootChanges !== this.#rootChangesDecided || (calmEndsAt !== null && calmEndsAt <= this.now)) this.#decide();
      this.#rootChangesDecided = rootChanges;
      if (this.now - this.#ledgerSavedAt < LEDGER_SAVED_EVERY_MS) continue;
      this.#ledgerSavedAt = this.now;
      this.#stored.ledger = JSON.stringify(this.#ledger.snapshot());
      this.#stored.changes = [...this.#changesReported];
    }
  }

  /** Whether nothing is under way between members. */
  get isIdle(): boolean {
    return this.network.inFlight === 0 && ![...this.members.values()].some((member) => member.awake && member.hasNews);
  }

  /** Lets everything arrive: no more faults, and time for the leases of the dead to run out. */
  quiesce(): void {
    this.network.faults = { ...this.network.faults, lost: 0, doubled: 0, delay: { min: 1, max: 100 } };
    this.#settleDown();
    this.advance(SHARD_LEASE_MS + SHARD_RENEWAL_MS);
    this.#settleDown();
  }

  /** Seats of each viewer that has any. */
  seatsOfViewers(): Map<string, Member[]> {
    const seats = new Map<string, Member[]>();
    for (const [number, member] of this.members) {
      for (const id of member.seats.keys()) seats.set(id, [...(seats.get(id) ?? []), number]);
    }
    return seats;
  }

  /** The fullest member of a generation over its mean, and that mean. */
  imbalanceOf(rung: number): { ratio: number; mean: number } {
    const sizes = membersOfRung(rung).map((number) => this.members.get(number)?.seats.size ?? 0);
    const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    return { ratio: Math.max(...sizes) / mean, mean };
  }

  #settleDown(): void {
    for (let round = 0; !this.isIdle; round++) {
      if (round === 1_000) throw new Error("the members never come to rest");
      this.advance(500);
    }
  }

  #isCurrent(socket: number): boolean {
    return this.#current[this.#viewerOfSocket[socket] as number] === socket;
  }

  #member(number: Member): SimulatedMember {
    let member = this.members.get(number);
    if (member === undefined) {
      const error = this.#options.clockError;
      // From one end to the other, by the number: neighbours differ most.
      member = new SimulatedMember(number, number % 2 === 0 ? error : -error, this.#planner.plan.seed);
      this.members.set(number, member);
    }
    return member;
  }

  #wake(number: Member): SimulatedMember {
    const member = this.#member(number);
    member.wake();
    if (number === ROOT) member.learn(this.#planner.plan);
    return member;
  }

  #learn(member: SimulatedMember, plan: ShardPlan): void {
    if (member.learn(plan) && member.number === ROOT && plan.version > this.#planner.plan.version)
      throw new Error("the root was told a plan that it never made");
  }

  #pump(member: SimulatedMember): void {
    for (const batch of member.outbox.take(this.now)) this.#sendClaims(member, batch);
    if (member.number !== ROOT && member.reportDue(this.now, reportIntervalOf(member.plan), this.#options.threshold))
      this.#sendReport(member);
  }

  #reportOf(member: SimulatedMember): ShardReport {
    return member.report(this.now);
  }

  #sendReport(member: SimulatedMember): void {
    const { boot, changes } = member;
    const report = this.#reportOf(member);
    let answered = false;
    this.network.send(this.now, () => {
      const plan = this.#receiveReport(report, changes);
      this.network.send(this.now, () => {
        answered = true;
        if (member.awake) this.#learn(member, plan);
      });
    });
    this.network.after(this.now, RPC_TIMEOUT_MS, () => {
      if (!answered && member.boot === boot) member.changed = true;
    });
  }

  #receiveReport(report: ShardReport, changes: number): ShardPlan {
    count(this.reportsPerSecond, this.now);
    if (this.#ledger.accept(report, this.now)) {
      this.#changesReported.set(report.shard, changes);
      this.#decide();
    }
    return this.#planner.plan;
  }

  #decide(): void {
    if (!this.#planner.decide(this.#member(ROOT).seats.size, this.#ledger.loads(this.now), this.now)) return;
    this.planChanges++;
    this.#stored.planner = JSON.stringify(this.#planner.snapshot());
    this.mostMembers = Math.max(
      this.mostMembers,
      this.plan.generations.reduce((sum, { rung }) => sum + extentOf(rung).size, 0),
    );
    this.#member(ROOT).learn(this.#planner.plan);
  }

  #askSilent(): void {
    this.#askedAt = this.now;
    const { plan } = this;
    for (const shard of this.#ledger.silent(shardsOf(plan), this.now)) {
      this.network.send(this.now, () => {
        const member = this.#wake(shard);
        this.#learn(member, plan);
        member.changed = true;
      });
    }
  }

  #sendClaims(sender: SimulatedMember, batch: ClaimBatch): void {
    const { outbox, plan } = sender;
    let open = true;
    this.network.send(this.now, () => {
      if (batch.to === ROOT) count(this.rootClaimsPerSecond, this.now);
      const receiver = this.#wake(batch.to);
      this.#learn(receiver, plan);
      const newer = this.#judgeAll(receiver, batch.claims, sender.number);
      const answer = receiver.plan;
      this.network.send(this.now, () => {
        if (sender.awake) {
          this.#learn(sender, answer);
          this.#judgeAll(sender, newer, batch.to);
        }
        if (open) outbox.answered(batch);
        open = false;
      });
    });
    this.network.after(this.now, RPC_TIMEOUT_MS, () => {
      if (open) outbox.failed(batch, this.now);
      open = false;
    });
  }

  /** Drops the seats that are older than those claimed elsewhere; returns those that are newer. */
  #judgeAll(member: SimulatedMember, claims: readonly Claim[], elsewhere: Member): Claim[] {
    const { newer, dropped } = member.judge(claims, elsewhere);
    for (const { socket, verdict } of dropped) {
      if (!this.#isCurrent(socket)) continue;
      const viewer = this.#viewerOfSocket[socket] as number;
      this.vanish(viewer);
      if (verdict === "replaced") this.wronglyReplaced++;
      else {
        this.contested++;
        const moves = this.#moves[viewer];
        this.network.after(this.now, 700, () => {
          if (this.#moves[viewer] === moves) this.join(viewer, viewer % this.#workers.length);
        });
      }
    }
    return newer;
  }
}

function count(perSecond: Map<number, number>, now: Millis): void {
  const second = Math.floor(now / 1000);
  perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
}
