import { membersOfRung, newestOf, type ShardPlan } from "../../domain/audience/shard-plan.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import { shardOf } from "../../durable-objects/audience/members.ts";
import type { LiveStream } from "../../durable-objects/live-stream/live-stream.ts";
import { knownPlan } from "../audience/plans.ts";
import { liveStream } from "../surface.ts";

/** What players are served from: the stream's own object, or one of its shards. */
export type PlaybackSource = Pick<
  DurableObjectStub<LiveStream>,
  "mediaPlaylist" | "multivariantPlaylist" | "manifest" | "readPart" | "assertOpen"
>;

/** Which of the shards this isolate asks; drawn at the first question, as nothing can be drawn before there is one. */
let draw: number | null = null;

/** Whom this isolate asks for a stream's playlists and parts: where the audience is spread over shards, one of those, so that the root is asked by few. */
export function playbackSource(env: Env, stream: StreamId): PlaybackSource {
  const plan = knownPlan(stream);
  return plan === null || newestOf(plan).rung === 0 ? liveStream(env, stream) : relayOf(env, stream, plan);
}

function relayOf(env: Env, stream: StreamId, plan: ShardPlan): PlaybackSource {
  const members = membersOfRung(newestOf(plan).rung);
  draw ??= crypto.getRandomValues(new Uint32Array(1))[0] as number;
  const place = { stream, member: members[draw % members.length] as number };
  const shard = shardOf(env, place);
  return {
    mediaPlaylist: (...query) => shard.mediaPlaylist(place, ...query),
    multivariantPlaylist: (broadcast) => shard.multivariantPlaylist(place, broadcast),
    manifest: (broadcast) => shard.manifest(place, broadcast),
    readPart: (address) => shard.readPart(place, address),
    assertOpen: (address) => shard.assertOpen(place, address),
  };
}
