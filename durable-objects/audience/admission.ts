import type { ShardPlan } from "../../domain/audience/shard-plan.ts";
import { NovaError } from "../../domain/errors.ts";
import type { Visibility } from "../../domain/protocol/api/streams.ts";
import type { AnalyticsEnv } from "../analytics/sink.ts";
import type { RoomLimits } from "./room.ts";
import { Misdirected } from "./seating.ts";
import type { Visit } from "./visit.ts";

/** Bindings that an object with viewers needs. */
export interface AudienceEnv extends AnalyticsEnv {
  MAX_SOCKETS: string;
  MAX_SOCKETS_PER_ADDRESS: string;
  /** With how many sockets on one object new viewers go to shards. */
  SHARD_THRESHOLD: string;
  /** Of all objects in one process; only a local runtime has such a limit. */
  MAX_SOCKETS_IN_PROCESS?: string;
}

/** The limits of this deployment. A setting that is no number is the default. */
export function limitsOf(env: AudienceEnv): RoomLimits {
  return {
    sockets: wholeNumber(env.MAX_SOCKETS, 32_000),
    socketsPerAddress: wholeNumber(env.MAX_SOCKETS_PER_ADDRESS, 200),
    socketsInProcess: env.MAX_SOCKETS_IN_PROCESS === undefined ? null : wholeNumber(env.MAX_SOCKETS_IN_PROCESS, 9_000),
  };
}

/** With how many sockets on one object new viewers go to others. */
export function shardThresholdOf(env: AudienceEnv): number {
  return wholeNumber(env.SHARD_THRESHOLD, 8_000);
}

/** Throws 401 `token_required` where a stream is for holders of a token only, and the visitor has shown none. */
export function assertMayWatch(visit: Visit, visibility: Visibility): void {
  if (visibility !== "signed" || visit.hasToken) return;
  throw new NovaError(
    401,
    "token_required",
    "this stream's socket opens with a playback token only: ask for one where you found the stream",
  );
}

/** Turns what keeps an upgrade from succeeding into an answer that the Worker reads with `readUpgrade`. */
export async function answerUpgrade(open: () => Response | Promise<Response>): Promise<Response> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof Misdirected) return Response.json({ plan: error.plan }, { status: 421 });
    if (error instanceof NovaError) return Response.json({ code: error.code, message: error.message }, { status: error.status });
    throw error;
  }
}

/** An object's answer to an upgrade: a socket, or the plan that says where the viewer's socket belongs. Throws what the object refused with. */
export async function readUpgrade(answer: Response): Promise<{ answer: Response } | { plan: ShardPlan }> {
  if (answer.webSocket !== null) return { answer };
  if (answer.status === 421) return answer.json();
  const { code, message } = await answer.json<{ code: string; message: string }>();
  throw new NovaError(answer.status, code, message);
}

function wholeNumber(text: string | undefined, otherwise: number): number {
  const value = Number(text);
  return Number.isInteger(value) && value > 0 ? value : otherwise;
}
