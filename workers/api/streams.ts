import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import { CreatedStream, CreateStream, ListStreams, StreamList, StreamResource, UpdateStream } from "../../domain/protocol/api/streams.ts";
import type { StreamConfig } from "../../durable-objects/live-stream/storage.ts";
import { logFailure } from "../audit/failure.ts";
import type { StreamRow } from "../store/schema.ts";
import { Streams } from "../store/streams.ts";
import { mintStreamKey, randomBytes, streamIdsOf } from "../store/tokens.ts";
import { liveStream } from "../surface.ts";
import { type ApiSurface, authorOf } from "./access.ts";
import { IfMatch, RevisionHeader, readIfMatch, revisionMismatch, tagOf } from "./entity-tag.ts";
import { IDEMPOTENCY_REFUSALS, IdempotencyKey } from "./idempotency.ts";
import { answer, authorized, type DocumentedHeaders, jsonBody, refusals } from "./operation.ts";
import { findOpenStream, findOwnStream, StreamParams } from "./own-stream.ts";
import { describeStream } from "./resource.ts";
import { createRouter } from "./router.ts";
import { decodeStreamCursor, encodeStreamCursor } from "./stream-cursor.ts";

const tags = ["Streams"];

const LOCATION: DocumentedHeaders = {
  Location: { description: "Where the stream is", schema: { type: "string" }, example: "/api/v1/streams/7k2m9qx4v8n3p5r1t6w0z2bc" },
};

const create = createRoute({
  ...{ method: "post", path: "/streams", tags, operationId: "createStream", ...authorized("streams:write") },
  summary: "Create a stream",
  description: "The answer holds the key that an encoder publishes with. It is shown this once.",
  request: { headers: z.object(IdempotencyKey), body: jsonBody(CreateStream) },
  responses: {
    201: answer(CreatedStream, "The stream, with its key", { ...LOCATION, ...RevisionHeader }),
    ...refusals("invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

const list = createRoute({
  ...{ method: "get", path: "/streams", tags, operationId: "listStreams", ...authorized("streams:read") },
  summary: "List streams",
  description:
    "Those of the caller's account, without deleted ones; the newest first where nothing else is asked for. Sorted by `viewer_count`, which changes all the time, a stream may move from one page to another.",
  request: { query: ListStreams },
  responses: { 200: answer(StreamList, "A page of streams"), ...refusals("invalid_cursor") },
});

const get = createRoute({
  ...{ method: "get", path: "/streams/{id}", tags, operationId: "getStream", ...authorized("streams:read") },
  summary: "Get a stream",
  description:
    "With its exact state and viewer count. A deleted stream is still there. `ETag` is the revision of what the broadcaster has set.",
  request: { params: StreamParams },
  responses: { 200: answer(StreamResource, "The stream", RevisionHeader), ...refusals("stream_not_found") },
});

const update = createRoute({
  ...{ method: "patch", path: "/streams/{id}", tags, operationId: "updateStream", ...authorized("streams:write") },
  summary: "Change a stream",
  description:
    "What is not named stays. Title, visibility and reconnect window hold at once; `profile` from the encoder's next publish on; `latency_mode`, `part_target`, `dvr_window_seconds` and `record` from the next broadcast on. With `If-Match` it is only done where nobody has changed the stream since.",
  request: { params: StreamParams, headers: z.object(IfMatch), body: jsonBody(UpdateStream) },
  responses: {
    200: answer(StreamResource, "The stream as it is now", RevisionHeader),
    ...refusals("stream_not_found", "stream_deleted", "revision_mismatch", "invalid_json", "body_too_large"),
  },
});

const remove = createRoute({
  ...{ method: "delete", path: "/streams/{id}", tags, operationId: "deleteStream", ...authorized("streams:write") },
  summary: "Delete a stream",
  description: "Ends it for good, a live broadcast within two seconds. Its keys are revoked, its media goes; the record stays.",
  request: { params: StreamParams, headers: z.object(IfMatch) },
  responses: {
    204: { description: "Deleted" },
    ...refusals("stream_not_found", "already_deleted", "revision_mismatch", "invalid_json", "body_too_large"),
  },
});

/** The streams of an account, `/api/v1/streams`. */
export const streams = createRouter()
  .openapi(create, async (c) => {
    const id = await streamIdsOf(c.env).mint(randomBytes);
    const { key, ...kept } = await mintStreamKey(c.env);
    const body = { ...c.req.valid("json"), id };
    const row = await new Streams(c.env.DB).create(body, { label: "default", ...kept }, authorOf(c), Date.now());
    // Where the object is away the stream is there all the same: it is told by the first publish, or by the reconciler.
    const configured = liveStream(c.env, id).configure(configOf(row));
    await configured.catch((error: unknown) => logFailure("stream_not_configured", error, { stream: id }));
    // The only answer that ever holds the key: only its digest is kept.
    return c.json({ ...describeStream(row, site(c), null), stream_key: key }, 201, { Location: `/api/v1/streams/${id}`, ETag: tagOf(row) });
  })
  .openapi(list, async (c) => {
    const query = c.req.valid("query");
    const after = query.cursor === undefined ? null : decodeStreamCursor(query.sort, query.cursor);
    const rows = await new Streams(c.env.DB).list(c.get("caller").accountId, { ...query, limit: query.limit + 1 }, after);
    const page = rows.slice(0, query.limit);
    const last = page.at(-1);
    const next_cursor = rows.length > query.limit && last !== undefined ? encodeStreamCursor(query.sort, last) : null;
    return c.json({ streams: page.map((row) => describeStream(row, site(c), null)), next_cursor }, 200);
  })
  .openapi(get, async (c) => {
    const { stream, row } = await findOwnStream(c);
    return c.json(describeStream(row, site(c), await liveStream(c.env, stream).facts()), 200, { ETag: tagOf(row) });
  })
  .openapi(update, async (c) => {
    const changes = c.req.valid("json");
    const { stream, row } = await findOpenStream(c);
    const isConditional = readIfMatch(c, row);
    const changed = await new Streams(c.env.DB).update(stream, isConditional ? row.revision : null, changes, authorOf(c), Date.now());
    // Another change, or the deletion, came between.
    if (changed === null) throw revisionMismatch((await findOpenStream(c)).row);
    const object = liveStream(c.env, stream);
    await object.configure(configOf(changed));
    return c.json(describeStream(changed, site(c), await object.facts()), 200, { ETag: tagOf(changed) });
  })
  .openapi(remove, async (c) => {
    const { stream, row } = await findOwnStream(c);
    if (row.deletedAt === null) readIfMatch(c, row);
    // The object first, and again if asked again: a deletion that failed half-way can be repeated until both know.
    await liveStream(c.env, stream).delete();
    if (!(await new Streams(c.env.DB).delete(stream, authorOf(c), Date.now()))) {
      throw new NovaError(409, "already_deleted", "this stream was deleted before");
    }
    return c.body(null, 204);
  });

/** What a stream's object needs of its row. */
export function configOf(row: StreamRow): StreamConfig {
  const { id, accountId, revision, title, visibility, profile, reconnectWindowSeconds, latencyMode, partTarget, dvrWindowSeconds, record } =
    row;
  return { id, accountId, revision, title, visibility, profile, reconnectWindowSeconds, latencyMode, partTarget, dvrWindowSeconds, record };
}

function site(c: Context<ApiSurface>) {
  const { origin, hostname } = new URL(c.req.url);
  return { origin, rtmpUrl: c.env.PUBLIC_RTMP_URL.replace("{host}", hostname) };
}
