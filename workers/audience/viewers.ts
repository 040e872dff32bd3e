import { Hono } from "hono";
import { ListViewers, type ViewerList } from "../../domain/protocol/audience.ts";
import { unwrap } from "../../durable-objects/live-stream/outcome.ts";
import { type ApiSurface, requireScope } from "../api/access.ts";
import { findOwnStream } from "../api/own-stream.ts";
import { liveStream, parseInput } from "../surface.ts";

/** Who watches, and who has: `GET /api/v1/streams/{stream}/viewers`, for whoever owns the stream. */
export const viewers = new Hono<ApiSurface>();

viewers.get("/streams/:id/viewers", requireScope("streams:read"), async (c) => {
  c.header("Cache-Control", "no-store");
  const { stream } = await findOwnStream(c);
  const { cursor = null, limit } = parseInput(ListViewers, c.req.query());
  const object = liveStream(c.env, stream);
  const [facts, page] = await Promise.all([object.facts(), object.viewerSessions({ cursor, limit })]);
  const { sessions, next } = unwrap(page);
  return c.json({ viewers: facts.viewers, sessions, next_cursor: next } satisfies ViewerList);
});
