import { createRoute, z } from "@hono/zod-openapi";
import { homeOf, ROOT } from "../../domain/audience/shard-plan.ts";
import { NovaError } from "../../domain/errors.ts";
import { SocketQuery } from "../../domain/protocol/events.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import { readUpgrade } from "../../durable-objects/audience/admission.ts";
import { shardOf } from "../../durable-objects/audience/members.ts";
import { type Visit, visitRequest } from "../../durable-objects/audience/visit.ts";
import { refusalsWithoutKey } from "../api/operation.ts";
import { StreamParams } from "../api/own-stream.ts";
import { createRouter } from "../api/router.ts";
import { knownPlan, learnPlan } from "../audience/plans.ts";
import { identifyVisitor } from "../audience/visitor.ts";
import { verifyPlaybackToken } from "../playback/access.ts";
import { liveStream, parseInput, proveStreamId } from "../surface.ts";

const PlaybackTokenQuery = z.string().optional().meta({ description: "A playback token, where the stream is signed" });

const open = createRoute({
  ...{ method: "get", path: "/streams/{id}/ws", tags: ["Audience"], operationId: "openSocket", security: [] },
  summary: "Open a stream's WebSocket",
  request: { params: StreamParams, query: SocketQuery.extend({ token: PlaybackTokenQuery }) },
  responses: {
    101: { description: "Open: the first frame is `connection_established`" },
    ...refusalsWithoutKey(
      ...(["invalid_request", "token_required", "token_invalid", "origin_not_allowed", "stream_not_found", "upgrade_required"] as const),
      ...(["too_many_sockets", "internal_error", "unavailable", "too_many_viewers", "signing_not_configured"] as const),
    ),
  },
});

/** The stream's WebSocket, `/api/v1/streams/{id}/ws?viewer={viewer}[&resume=…]`, with `&token=` where playback is signed. */
export const events = createRouter();
// Described, but read by its own rules: what is asked first decides which refusal is given.
events.openAPIRegistry.registerPath(open);
events.get(open.getRoutingPath(), async (c) => {
  const id = await proveStreamId(c.env, c.req.param("id"));
  if (c.req.header("Upgrade")?.toLowerCase() !== "websocket") {
    throw new NovaError(426, "upgrade_required", "this address speaks WebSocket: connect with wss:// or ws://");
  }
  const { host } = new URL(c.req.url);
  if (!mayConnect(c.req.header("Origin"), host, c.env.ALLOWED_ORIGINS)) {
    throw new NovaError(403, "origin_not_allowed", "this site may not open sockets here: add it to ALLOWED_ORIGINS");
  }
  const { viewer, resume = null } = parseInput(SocketQuery, c.req.query());
  // A browser cannot give a socket's request a header, or a path of the player's.
  const token = c.req.query("token");
  if (token !== undefined) await verifyPlaybackToken(c.env, id, token);
  // Who may watch without a token, the object knows itself: no look-up for a socket. No cookie or token goes on.
  const visitor = await identifyVisitor(c.env, id, c.req.raw);
  return openSocket(c.env, id, { ...visitor, viewer, resume, hasToken: token !== undefined });
});

/** How often a viewer is sent on: plans change while one is on its way. */
const MAX_HOPS = 4;

/** Takes a viewer to the object of the stream where its socket belongs. */
async function openSocket(env: Env, stream: StreamId, visitor: Omit<Visit, "place" | "plan">): Promise<Response> {
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    const plan = knownPlan(stream);
    const place = { stream, member: plan === null ? ROOT : homeOf(plan, visitor.viewer) };
    const object = place.member === ROOT ? liveStream(env, stream) : shardOf(env, place);
    const opened = await readUpgrade(await object.fetch(visitRequest({ ...visitor, place, plan })));
    if ("answer" in opened) return opened.answer;
    learnPlan(stream, opened.plan);
  }
  throw new NovaError(503, "unavailable", "the audience is being moved: try again in a second");
}

/** Browsers always say where a page comes from; a client without `Origin` is no browser, and has no visitor to be abused. */
function mayConnect(origin: string | undefined, ownHost: string, allowed: string): boolean {
  if (origin === undefined) return true;
  if (URL.canParse(origin) && new URL(origin).host === ownHost) return true;
  return allowed.split(",").some((entry) => entry.trim() === origin);
}
