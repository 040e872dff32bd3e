import { type ClaimBatch, ClaimOutbox } from "../../domain/audience/settlement.ts";
import { decideSeat, type Member, otherHomesOf, ROOT, type ShardPlan, shardsOf } from "../../domain/audience/shard-plan.ts";
import { NovaError } from "../../domain/errors.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import { type MemberEnv, sendClaims } from "./members.ts";
import type { Room } from "./room.ts";

/** Thrown where a viewer's socket belongs to another object of the stream: the Worker takes it there. */
export class Misdirected extends Error {
  readonly plan: ShardPlan;

  constructor(plan: ShardPlan) {
    super("this viewer's socket belongs elsewhere");
    this.plan = plan;
  }
}

/** What a seating needs of the object around it. */
export interface SeatingOwner {
  ctx: DurableObjectState;
  env: MemberEnv;
  room: Room;
  threshold: number;
  streamId(): string;
  member(): Member;
  plan(): ShardPlan;
  /** Somebody knows this plan: it may be a newer one. */
  learn(plan: ShardPlan): void;
}

/** Gives viewers their seats by the plan, and settles with the other objects of the stream who has whom. */
export class Seating {
  readonly #owner: SeatingOwner;
  readonly #outbox = new ClaimOutbox();
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(owner: SeatingOwner) {
    this.#owner = owner;
  }

  /** Whether the viewer's home is here, and has no room. */
  isFull(viewer: string): boolean {
    return this.#decide(viewer) === "full";
  }

  /** Lets a viewer be seated here, or throws `Misdirected`, 503 `too_many_viewers`. */
  assertSeat(viewer: string): void {
    const decision = this.#decide(viewer);
    if (decision === "misdirected") throw new Misdirected(this.#owner.plan());
    if (decision === "full") throw new NovaError(503, "too_many_viewers", "more room is being made: try again in a second");
  }

  /** A viewer has a socket here: its other homes are told. */
  seated(viewer: string, joinedAt: Millis): void {
    this.#outbox.add(viewer, joinedAt, otherHomesOf(this.#owner.plan(), viewer, this.#owner.member()));
    this.#send();
  }

  /** Sockets have outlived the object's memory, which may have held claims. */
  claimAll(): void {
    const { room, plan, member } = this.#owner;
    for (const { viewer, joinedAt } of room.claims()) this.#outbox.add(viewer, joinedAt, otherHomesOf(plan(), viewer, member()));
    this.#send();
  }

  /** The plan is another: members that have left it hold nobody. */
  planChanged(): void {
    this.#outbox.retain(new Set([ROOT, ...shardsOf(this.#owner.plan())]));
  }

  #decide(viewer: string): ReturnType<typeof decideSeat> {
    const { room, threshold, plan, member } = this.#owner;
    const load = { sockets: room.connected, holdsViewer: room.joinedAt(viewer) !== null };
    return decideSeat(plan(), member(), viewer, load, threshold);
  }

  #send(): void {
    const now = Date.now();
    for (const batch of this.#outbox.take(now)) {
      this.#owner.ctx.waitUntil(this.#sendBatch(batch).finally(() => this.#send()));
    }
    const next = this.#outbox.nextAt();
    if (next === null || this.#timer !== null) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#send();
      },
      Math.max(0, next - now),
    );
  }

  async #sendBatch(batch: ClaimBatch): Promise<void> {
    const { env, room } = this.#owner;
    const stream = this.#owner.streamId();
    try {
      const { member, plan, learn } = this.#owner;
      const answer = await sendClaims(env, { stream, member: batch.to }, member(), { plan: plan(), claims: batch.claims });
      this.#outbox.answered(batch);
      learn(answer.plan);
      room.judge(answer.claims, batch.to, Date.now());
    } catch (error) {
      const now = Date.now();
      this.#outbox.failed(batch, now);
      console.warn(JSON.stringify({ event: "claims_failed", stream, member: batch.to, at: isoTime(now), error: String(error) }));
    }
  }
}
