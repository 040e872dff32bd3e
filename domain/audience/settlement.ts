import type { Millis } from "../time.ts";
import type { Member } from "./shard-plan.ts";

/** A viewer's place in a member's set. */
export interface Seat {
  member: Member;
  /** By the member's clock. */
  joinedAt: Millis;
}

/** "I hold this viewer since then." */
export interface Claim {
  viewer: string;
  joinedAt: Millis;
}

/** Clocks of two objects differ by less than this. */
export const CLOCK_SKEW_MS: Millis = 2_000;

/**
 * What becomes of a viewer's seat here, when there is one there too. The newer one stays, the member's number decides a tie: both sides
 * judge alike. `replaced`: close with 4001. `contested`: it goes as well, but the clocks may have it wrong, and a client that still
 * wants this socket must come again: close with a code after which it does.
 */
export function judgeSeat(here: Seat, there: Seat): "stays" | "replaced" | "contested" {
  const newerBy = there.joinedAt - here.joinedAt || Math.sign(there.member - here.member);
  if (newerBy <= 0) return "stays";
  return newerBy >= CLOCK_SKEW_MS ? "replaced" : "contested";
}

/** Claims for one member, sent together with the plan. */
export interface ClaimBatch {
  to: Member;
  claims: Claim[];
}

interface Lane {
  waiting: Claim[];
  /** Not before this is the next batch sent. */
  nextAt: Millis;
  sending: boolean;
}

const LEAST_INTERVAL_MS: Millis = 200;
const INTERVAL_PER_LANE_MS: Millis = 20;
const RETRY_MS: Millis = 1_000;
const CLAIMS_OF_A_BATCH = 1_000;

/**
 * A member's claims on their way to the other homes of its viewers. Each is sent until it is answered, also when its seat is gone by then:
 * an older one elsewhere is all the more a dead socket's. At most one batch is under way to a member, at most 5 a second go to one and
 * 50 to all. In memory: a member whose sockets have outlived its memory claims all its seats again.
 */
export class ClaimOutbox {
  readonly #lanes = new Map<Member, Lane>();

  /** A viewer has a seat here, and may have others at `otherHomes`. */
  add(viewer: string, joinedAt: Millis, otherHomes: readonly Member[]): void {
    const claim = { viewer, joinedAt };
    for (const member of otherHomes) {
      const lane = this.#lanes.get(member);
      if (lane === undefined) this.#lanes.set(member, { waiting: [claim], nextAt: 0, sending: false });
      else lane.waiting.push(claim);
    }
  }

  /** What to send now; `answered` or `failed` must follow. */
  take(now: Millis): ClaimBatch[] {
    const interval = Math.max(LEAST_INTERVAL_MS, this.#lanes.size * INTERVAL_PER_LANE_MS);
    const batches: ClaimBatch[] = [];
    for (const [to, lane] of this.#lanes) {
      if (lane.sending || lane.nextAt > now || lane.waiting.length === 0) continue;
      const claims = lane.waiting;
      lane.waiting = claims.splice(CLAIMS_OF_A_BATCH);
      lane.sending = true;
      lane.nextAt = now + interval;
      batches.push({ to, claims });
    }
    return batches;
  }

  /** The member has judged the batch. */
  answered({ to }: ClaimBatch): void {
    const lane = this.#lanes.get(to);
    if (lane !== undefined) lane.sending = false;
  }

  /** The batch may not have arrived: its claims go again a second later. */
  failed({ to, claims }: ClaimBatch, now: Millis): void {
    const lane = this.#lanes.get(to);
    if (lane === undefined) return;
    lane.sending = false;
    lane.nextAt = now + RETRY_MS;
    lane.waiting = claims.concat(lane.waiting);
  }

  /** Forgets what is for members that a newer plan has shown to be empty. */
  retain(members: ReadonlySet<Member>): void {
    for (const member of this.#lanes.keys()) if (!members.has(member)) this.#lanes.delete(member);
  }

  /** When `take` next has something; null where nothing waits, or only an answer is waited for. */
  nextAt(): Millis | null {
    let next: Millis | null = null;
    for (const lane of this.#lanes.values()) {
      if (!lane.sending && lane.waiting.length > 0) next = Math.min(next ?? lane.nextAt, lane.nextAt);
    }
    return next;
  }
}
