import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import type { StreamRow } from "../store/schema.ts";
import { Store } from "../store/store.ts";
import { proveStreamId } from "../surface.ts";
import type { AccountSurface } from "./access.ts";

/** The stream of a route's `:id`, where it is the caller's own. Throws 404 `stream_not_found` for others. */
export async function findOwnStream(c: Context<AccountSurface>): Promise<{ stream: StreamId; row: StreamRow }> {
  const stream = await proveStreamId(c.env, c.req.param("id") ?? "");
  const row = await new Store(c.env.DB).findStream(c.get("accountId"), stream);
  if (row === null) throw new NovaError(404, "stream_not_found", "no such stream: check the id");
  return { stream, row };
}
