import { Hono } from "hono";
import { NovaError } from "../../domain/errors.ts";
import { MAX_METADATA_BYTES, type MetadataAnswer, SendMetadata } from "../../domain/protocol/audience.ts";
import { isoTime } from "../../domain/time.ts";
import { unwrap } from "../../durable-objects/live-stream/outcome.ts";
import { type ApiSurface, requireScope } from "../api/access.ts";
import { findOwnStream } from "../api/own-stream.ts";
import { liveStream, readJson } from "../surface.ts";

/** A payload may be written with spaces and escapes. */
const MAX_BODY_BYTES = 4 * MAX_METADATA_BYTES;

/** What a broadcaster sends along to every viewer, `POST /api/v1/streams/{stream}/metadata`, for whoever owns the stream. */
export const metadata = new Hono<ApiSurface>();

metadata.post("/streams/:id/metadata", requireScope("streams:write"), async (c) => {
  c.header("Cache-Control", "no-store");
  const { stream, row } = await findOwnStream(c);
  if (row.deletedAt !== null) throw new NovaError(410, "stream_deleted", "this stream was deleted: create a new one");
  const { payload, at } = await readJson(c.req.raw, SendMetadata, MAX_BODY_BYTES);
  if (new TextEncoder().encode(JSON.stringify(payload)).length > MAX_METADATA_BYTES) {
    throw new NovaError(413, "payload_too_large", `payload: at most ${MAX_METADATA_BYTES} bytes of JSON`);
  }
  const sent = unwrap(await liveStream(c.env, stream).sendMetadata(at === undefined ? null : Date.parse(at), payload));
  return c.json({ seq: sent.seq, at: isoTime(sent.at) } satisfies MetadataAnswer, 202);
});
