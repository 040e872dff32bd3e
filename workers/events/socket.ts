import { Hono } from "hono";
import { NovaError } from "../../domain/errors.ts";
import { ViewerId } from "../../domain/protocol/events.ts";
import { authorizePlayback } from "../playback/access.ts";
import { liveStream, parseInput, proveStreamId, type Surface } from "../surface.ts";

/** The stream's WebSocket, `GET /api/v1/streams/{stream}/ws?viewer={id}`, with `&token=` where playback is signed. */
export const events = new Hono<Surface>();

events.get("/streams/:id/ws", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("id"));
  if (c.req.header("Upgrade")?.toLowerCase() !== "websocket") {
    throw new NovaError(426, "upgrade_required", "this address speaks WebSocket: connect with wss:// or ws://");
  }
  const { host } = new URL(c.req.url);
  if (!mayConnect(c.req.header("Origin"), host, c.env.ALLOWED_ORIGINS)) {
    throw new NovaError(403, "origin_not_allowed", "this site may not open sockets here: add it to ALLOWED_ORIGINS");
  }
  // A browser cannot give a socket's request a header, or a path of the player's.
  await authorizePlayback(c, id, c.req.query("token"));
  const viewer = parseInput(ViewerId, c.req.query("viewer"));
  // Only what the object needs goes on: no cookie, no token.
  return liveStream(c.env, id).fetch(`https://live-stream/?viewer=${viewer}`, { headers: { Upgrade: "websocket" } });
});

/** Browsers always say where a page comes from; a client without `Origin` is no browser, and has no visitor to be abused. */
function mayConnect(origin: string | undefined, ownHost: string, allowed: string): boolean {
  if (origin === undefined) return true;
  if (URL.canParse(origin) && new URL(origin).host === ownHost) return true;
  return allowed.split(",").some((entry) => entry.trim() === origin);
}
