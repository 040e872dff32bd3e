import type { Claim } from "../../domain/audience/settlement.ts";
import type { ShardReport } from "../../domain/audience/shard-ledger.ts";
import { type Member, ROOT, type ShardPlan } from "../../domain/audience/shard-plan.ts";
import type { Visibility } from "../../domain/protocol/api/streams.ts";
import type { PersonalEvent } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";
import type { AudienceShard } from "../audience-shard/audience-shard.ts";
import type { LiveStream } from "../live-stream/live-stream.ts";

/** The objects of a stream, as their namespaces find them. */
export interface MemberEnv {
  LIVE: DurableObjectNamespace<LiveStream>;
  SHARDS: DurableObjectNamespace<AudienceShard>;
}

/** Which object of which stream. A shard is told with each call, as it cannot know its own name. */
export interface Place {
  stream: string;
  member: Member;
}

/** The stream's own object. */
export function rootOf(env: MemberEnv, stream: string): DurableObjectStub<LiveStream> {
  return env.LIVE.get(env.LIVE.idFromName(stream));
}

/** One of the stream's shards. */
export function shardOf(env: MemberEnv, { stream, member }: Place): DurableObjectStub<AudienceShard> {
  return env.SHARDS.get(env.SHARDS.idFromName(`${stream}/${member}`));
}

/** A member's seats, and the plan by which it gave them. */
export interface Claims {
  plan: ShardPlan;
  claims: Claim[];
}

/** Sends a member the claims of another. Returns the seats there that stay, with the plan that it knows. */
export function sendClaims(env: MemberEnv, to: Place, from: Member, claims: Claims): Promise<Claims> {
  if (to.member === ROOT) return rootOf(env, to.stream).claim(from, claims);
  return shardOf(env, to).claim(to, from, claims);
}

/** What the root tells its shards: the events that a shard does not have yet, and the state that new viewers are greeted with. */
export interface News {
  instance: string;
  plan: ShardPlan;
  /** Null where the stream was never configured: nobody may watch it. */
  visibility: Visibility | null;
  /** A `connection_established`. */
  greeting: PersonalEvent | null;
  /** What the shard does not have and cannot have any more. */
  gap: { from: number; to: number } | null;
  /** What comes then: none, where the root does not know how far the shard has got. */
  events: { seq: number; at: Millis; text: string }[];
  /** The number of the newest event that there is. */
  newest: number;
}

/** What a shard tells the root. */
export interface ShardWord extends ShardReport {
  /** The number of the newest event that it has; null before it has been told any. */
  heard: number | null;
  /** Keys of the players that go with its sockets, those below `threshold`; null where the root still has them. */
  players: { keys: number[]; threshold: number } | null;
}
