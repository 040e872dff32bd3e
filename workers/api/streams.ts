import { type Context, Hono } from "hono";
import { NovaError } from "../../domain/errors.ts";
import { CreateStream, ListStreams } from "../../domain/protocol/api.ts";
import type { StreamConfig } from "../../durable-objects/live-stream/storage.ts";
import { sha256Hex } from "../store/digest.ts";
import type { StreamRow } from "../store/schema.ts";
import { Store } from "../store/store.ts";
import { randomBytes, streamIdsOf, streamKeysOf } from "../store/tokens.ts";
import { liveStream, parseInput, readJson } from "../surface.ts";
import { type AccountSurface, requireAccount } from "./access.ts";
import { findOwnStream } from "./own-stream.ts";
import { describeStream } from "./resource.ts";

/** The control plane's first routes, `/api/v1/streams`. */
export const api = new Hono<AccountSurface>();
api.use(async (c, next) => {
  await next();
  c.header("Cache-Control", "no-store");
});
api.use("/streams", requireAccount);
api.use("/streams/*", requireAccount);

api.post("/streams", async (c) => {
  const body = await readJson(c.req.raw, CreateStream);
  const id = await streamIdsOf(c.env).mint(randomBytes);
  const key = await streamKeysOf(c.env).mint(randomBytes);
  const row = await new Store(c.env.DB).createStream({ ...body, id, accountId: c.get("accountId") }, await sha256Hex(key), Date.now());
  await liveStream(c.env, id).configure(configOf(row));
  // The only answer that ever holds the key: only its digest is kept.
  return c.json({ ...describeStream(row, site(c), null), stream_key: key }, 201, { Location: `/api/v1/streams/${id}` });
});

api.get("/streams", async (c) => {
  const query = parseInput(ListStreams, c.req.query());
  const rows = await new Store(c.env.DB).listStreams(c.get("accountId"), {
    status: query.status,
    before: query.cursor === undefined ? null : parseCursor(query.cursor),
    limit: query.limit + 1,
  });
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  const next_cursor = rows.length > query.limit && last !== undefined ? `${last.createdAt}.${last.id}` : null;
  return c.json({ streams: page.map((row) => describeStream(row, site(c), null)), next_cursor });
});

api.get("/streams/:id", async (c) => {
  const { stream: id, row } = await findOwnStream(c);
  return c.json(describeStream(row, site(c), await liveStream(c.env, id).facts()));
});

api.delete("/streams/:id", async (c) => {
  const { stream: id, row } = await findOwnStream(c);
  // The object first, and again if asked again: a deletion that failed half-way can be repeated until both know.
  await liveStream(c.env, id).delete();
  if (row.deletedAt !== null) throw new NovaError(409, "already_deleted", "this stream was deleted before");
  await new Store(c.env.DB).deleteStream(id, Date.now());
  return c.body(null, 204);
});

/** What a stream's object needs of its row. */
export function configOf(row: StreamRow): StreamConfig {
  const { id, title, visibility, reconnectWindowSeconds, latencyMode, partTarget, dvrWindowSeconds, record } = row;
  return { id, title, visibility, reconnectWindowSeconds, latencyMode, partTarget, dvrWindowSeconds, record };
}

function site(c: Context<AccountSurface>) {
  const { origin, hostname } = new URL(c.req.url);
  return { origin, rtmpUrl: c.env.PUBLIC_RTMP_URL.replace("{host}", hostname) };
}

function parseCursor(cursor: string): { createdAt: number; id: string } {
  const [, createdAt, id] = /^(\d{1,15})\.([a-z0-9]{24})$/.exec(cursor) ?? [];
  if (createdAt === undefined || id === undefined)
    throw new NovaError(400, "invalid_cursor", "cursor: take it from next_cursor of the page before");
  return { createdAt: Number(createdAt), id };
}
