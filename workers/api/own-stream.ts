import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import type { StreamRow } from "../store/schema.ts";
import { Streams } from "../store/streams.ts";
import { proveStreamId } from "../surface.ts";
import type { ApiSurface } from "./access.ts";

/** The parameters of a route below `/streams/{id}`. A malformed id is one that does not exist: 404, not 400. */
export const StreamParams = z.object({
  id: z.string().meta({ description: "The stream's id", pattern: "^[0-9a-hjkmnp-tv-z]{24}$", example: "7k2m9qx4v8n3p5r1t6w0z2bc" }),
});

/** The stream of a route's `:id`, where it is the caller's own. Throws 404 `stream_not_found` for others. */
export async function findOwnStream(c: Context<ApiSurface>): Promise<{ stream: StreamId; row: StreamRow }> {
  const stream = await proveStreamId(c.env, c.req.param("id") ?? "");
  const row = await new Streams(c.env.DB).find(c.get("caller").accountId, stream);
  if (row === null) throw new NovaError(404, "stream_not_found", "no such stream: check the id");
  return { stream, row };
}

/** The same, where it is not deleted. Throws 410 `stream_deleted` for one that is. */
export async function findOpenStream(c: Context<ApiSurface>): Promise<{ stream: StreamId; row: StreamRow }> {
  const found = await findOwnStream(c);
  if (found.row.deletedAt !== null) throw new NovaError(410, "stream_deleted", "this stream was deleted: create a new one");
  return found;
}
