import type { Millis } from "../time.ts";
import { hashViewer, rendezvous } from "./rendezvous.ts";

/** One of the objects that hold a stream's sockets: `ROOT`, or the number of a shard. */
export type Member = number;
/** The stream's own object. */
export const ROOT: Member = -1;

/**
 * Members that open together. Which ones is fixed by the rung: rung 0 is the root alone, the rungs above it have 4, 8, 16, 32, 64, 64 …
 * shards with numbers of their own. So a viewer's home within a rung never changes, and a rung may open, close and open again.
 */
interface Generation {
  rung: number;
  /** The plan's version that opened it. */
  since: number;
}

/**
 * Which members an audience is spread over. New sockets go to the last generation; those of the others stay where they are. JSON.
 *
 * Why nobody counts twice once all is told: a member knows ever newer plans, keeps them, and seats only viewers whose home it is by the newest
 * that it knows. For each seat it sends the plan and a claim to the viewer's other homes until they answer (settlement.ts). Of two seats of a viewer
 * made under different versions, the newer one's claim reaches the older one's member: that either holds the older seat by then, and one
 * of the two goes; or does not, and by then knows a plan that lets it make none. A generation leaves the plan only when it is empty and
 * all its members know that it is closed, so no claim is missed by it.
 */
export interface ShardPlan {
  /** Rises with each change. */
  version: number;
  /** Of the viewers' hashes; the same for all versions. */
  seed: number;
  /** Oldest opening first, at least one. */
  generations: Generation[];
}

const FIRST_SIZE = 4;
const LARGEST_SIZE = 64;
const LARGEST_RUNG = 1 + Math.log2(LARGEST_SIZE / FIRST_SIZE);

/** The plan that every stream starts with: the root holds everybody. `seed` is any 32-bit number. */
export function firstPlan(seed: number): ShardPlan {
  return { version: 1, seed, generations: [{ rung: 0, since: 1 }] };
}

/** The members of a rung: `size` numbers from `first`. */
export function extentOf(rung: number): { first: Member; size: number } {
  if (rung === 0) return { first: ROOT, size: 1 };
  const doublings = Math.min(rung, LARGEST_RUNG) - 1;
  const first = FIRST_SIZE * (2 ** doublings - 1) + Math.max(0, rung - LARGEST_RUNG) * LARGEST_SIZE;
  return { first, size: FIRST_SIZE * 2 ** doublings };
}

/** The generation that new sockets go to. */
export function newestOf(plan: ShardPlan): Generation {
  return plan.generations[plan.generations.length - 1] as Generation;
}

/** The members of a rung, one by one. */
export function membersOfRung(rung: number): Member[] {
  const { first, size } = extentOf(rung);
  return Array.from({ length: size }, (_, index) => first + index);
}

/** Every shard that may hold viewers, the newest generation's too; without the root. */
export function shardsOf(plan: ShardPlan): Member[] {
  return plan.generations.filter(({ rung }) => rung > 0).flatMap(({ rung }) => membersOfRung(rung));
}

/** Where a viewer's next socket goes. */
export function homeOf(plan: ShardPlan, viewer: string): Member {
  return homeInRung(hashViewer(viewer, plan.seed), newestOf(plan).rung);
}

/** Where else a viewer of a member may have a socket: its homes in all the plan's generations, without that member. */
export function otherHomesOf(plan: ShardPlan, viewer: string, member: Member): Member[] {
  if (plan.generations.length === 1 && newestOf(plan).rung === 0) return member === ROOT ? [] : [ROOT];
  const hash = hashViewer(viewer, plan.seed);
  return plan.generations.map(({ rung }) => homeInRung(hash, rung)).filter((home) => home !== member);
}

function homeInRung(hash: number, rung: number): Member {
  const { first, size } = extentOf(rung);
  return rendezvous(hash, first, size);
}

/** The newer of two plans of one stream; the first where they are the same version. */
export function newerPlan(known: ShardPlan | null, told: ShardPlan): ShardPlan {
  return known === null || told.version > known.version ? told : known;
}

/**
 * What a member does with a viewer that a Worker sends it: `plan` is the newest that either of them knows.
 * `misdirected`: the answer is the plan, and the Worker goes to the home. `full`: the member reports to the root, which opens another generation.
 */
export function decideSeat(
  plan: ShardPlan,
  member: Member,
  viewer: string,
  load: { sockets: number; holdsViewer: boolean },
  threshold: number,
): "seat" | "misdirected" | "full" {
  if (homeOf(plan, viewer) !== member) return "misdirected";
  return load.sockets >= capacityOf(threshold) && !load.holdsViewer ? "full" : "seat";
}

/** How many sockets a member takes: a tenth over the threshold at which the next generation opens, for what comes until all have heard of it. */
export function capacityOf(threshold: number): number {
  return threshold + Math.ceil(threshold / 10);
}

const LEAST_INTERVAL_MS: Millis = 250;
const REPORTS_PER_SECOND = 200;

/** The least time between two reports of a shard, unless it has just reached the threshold: the root hears at most 200 a second. */
export function reportIntervalOf(plan: ShardPlan): Millis {
  const members = plan.generations.reduce((sum, { rung }) => sum + extentOf(rung).size, 0);
  return Math.max(LEAST_INTERVAL_MS, Math.ceil((members * 1000) / REPORTS_PER_SECOND));
}
