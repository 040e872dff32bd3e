import { createRoute, z } from "@hono/zod-openapi";
import { NovaError } from "../../domain/errors.ts";
import { MAX_METADATA_BYTES, MetadataAnswer, SendMetadata } from "../../domain/protocol/api/metadata.ts";
import { isoTime } from "../../domain/time.ts";
import { unwrap } from "../../durable-objects/live-stream/outcome.ts";
import { IDEMPOTENCY_REFUSALS, IdempotencyKey } from "../api/idempotency.ts";
import { answer, authorized, jsonBody, refusals } from "../api/operation.ts";
import { findOpenStream, StreamParams } from "../api/own-stream.ts";
import { createRouter } from "../api/router.ts";
import { liveStream } from "../surface.ts";

const send = createRoute({
  ...{ method: "post", path: "/streams/{id}/metadata", tags: ["Audience"], operationId: "sendMetadata", ...authorized("streams:write") },
  summary: "Send metadata to the viewers",
  description: "Every open socket of a live stream gets it as a `timed_metadata` event. At most five a second for a stream.",
  request: { params: StreamParams, headers: z.object(IdempotencyKey), body: jsonBody(SendMetadata) },
  responses: {
    202: answer(MetadataAnswer, "On its way"),
    ...refusals(
      "stream_not_found",
      "not_live",
      "stream_deleted",
      "body_too_large",
      "payload_too_large",
      "too_many_messages",
      "invalid_json",
      ...IDEMPOTENCY_REFUSALS,
    ),
  },
});

/** What a broadcaster sends along to every viewer, `/api/v1/streams/{id}/metadata`. */
export const metadata = createRouter().openapi(send, async (c) => {
  const { stream } = await findOpenStream(c);
  const { payload, at } = c.req.valid("json");
  if (new TextEncoder().encode(JSON.stringify(payload)).length > MAX_METADATA_BYTES) {
    throw new NovaError(413, "payload_too_large", `payload: at most ${MAX_METADATA_BYTES} bytes of JSON`);
  }
  const sent = unwrap(await liveStream(c.env, stream).sendMetadata(at === undefined ? null : Date.parse(at), payload));
  return c.json({ seq: sent.seq, at: isoTime(sent.at) }, 202);
});
