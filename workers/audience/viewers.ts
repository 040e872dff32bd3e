import { createRoute } from "@hono/zod-openapi";
import { ListViewers, ViewerList } from "../../domain/protocol/api/viewers.ts";
import { unwrap } from "../../durable-objects/live-stream/outcome.ts";
import { answer, authorized, refusals } from "../api/operation.ts";
import { findOwnStream, StreamParams } from "../api/own-stream.ts";
import { createRouter } from "../api/router.ts";
import { liveStream } from "../surface.ts";

const list = createRoute({
  ...{ method: "get", path: "/streams/{id}/viewers", tags: ["Audience"], operationId: "listViewers", ...authorized("streams:read") },
  summary: "List a stream's viewers",
  description: "How many watch now, and the stays of those who do and did, the newest first. Stays are kept for 30 days.",
  request: { params: StreamParams, query: ListViewers },
  responses: { 200: answer(ViewerList, "A page of stays"), ...refusals("stream_not_found", "invalid_cursor") },
});

/** Who watches, and who has, `/api/v1/streams/{id}/viewers`. */
export const viewers = createRouter().openapi(list, async (c) => {
  const { stream } = await findOwnStream(c);
  const { cursor = null, limit } = c.req.valid("query");
  const object = liveStream(c.env, stream);
  const [facts, page] = await Promise.all([object.facts(), object.viewerSessions({ cursor, limit })]);
  const { sessions, next } = unwrap(page);
  return c.json({ viewers: facts.viewers, sessions, next_cursor: next }, 200);
});
