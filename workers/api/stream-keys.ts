import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import {
  CreatedStreamKey,
  CreateStreamKey,
  MAX_STREAM_KEYS,
  RotateStreamKey,
  StreamKeyList,
  type StreamKeyResource,
} from "../../domain/protocol/api/stream-keys.ts";
import { isoTime, isoTimeOrNull, type Millis } from "../../domain/time.ts";
import { type StreamKeyRow, StreamKeys } from "../store/stream-keys.ts";
import { mintStreamKey } from "../store/tokens.ts";
import { liveStream } from "../surface.ts";
import { type ApiSurface, authorOf } from "./access.ts";
import { IDEMPOTENCY_REFUSALS, IdempotencyKey } from "./idempotency.ts";
import { alreadyRevoked, keyStatus, parseExpiry, rotationRefusal } from "./key-state.ts";
import { answer, authorized, jsonBody, refusals } from "./operation.ts";
import { findOpenStream, findOwnStream, StreamParams } from "./own-stream.ts";
import { createRouter } from "./router.ts";

const tags = ["Stream keys"];
const KeyParams = StreamParams.extend({ key_id: z.string().meta({ description: "The key's id", format: "uuid" }) });

const create = createRoute({
  ...{ method: "post", path: "/streams/{id}/keys", tags, operationId: "createStreamKey", ...authorized("keys:write") },
  summary: "Add a stream key",
  description: `For another encoder, or another person. At most ${MAX_STREAM_KEYS} keys of a stream are valid at once. The key is shown this once.`,
  request: { params: StreamParams, headers: z.object(IdempotencyKey), body: jsonBody(CreateStreamKey) },
  responses: {
    201: answer(CreatedStreamKey, "The key"),
    ...refusals("stream_not_found", "stream_deleted", "too_many_keys", "invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

const list = createRoute({
  ...{ method: "get", path: "/streams/{id}/keys", tags, operationId: "listStreamKeys", ...authorized("streams:read") },
  summary: "List a stream's keys",
  description: "All that there ever were, the newest first. No key itself is in it.",
  request: { params: StreamParams },
  responses: { 200: answer(StreamKeyList, "The keys"), ...refusals("stream_not_found") },
});

const rotate = createRoute({
  ...{ method: "post", path: "/streams/{id}/keys/{key_id}/rotate", tags, operationId: "rotateStreamKey", ...authorized("keys:write") },
  summary: "Rotate a stream key",
  description:
    "Makes a new key with the same label. The old one opens connections for `overlap_seconds` more, so that encoders can be changed one by one. Once: from then on its successor can be rotated.",
  request: { params: KeyParams, headers: z.object(IdempotencyKey), body: jsonBody(RotateStreamKey) },
  responses: {
    201: answer(CreatedStreamKey, "The new key"),
    ...refusals(
      "stream_not_found",
      "key_not_found",
      "stream_deleted",
      "already_revoked",
      "already_rotated",
      "key_expired",
      "too_many_keys",
      "invalid_json",
      "body_too_large",
      ...IDEMPOTENCY_REFUSALS,
    ),
  },
});

const revoke = createRoute({
  ...{ method: "delete", path: "/streams/{id}/keys/{key_id}", tags, operationId: "revokeStreamKey", ...authorized("keys:write") },
  summary: "Revoke a stream key",
  description:
    "At once and for good: an encoder that is live with it is cut off within two seconds. The broadcast waits its reconnect window for one with another key.",
  request: { params: KeyParams },
  responses: {
    204: { description: "Revoked" },
    ...refusals("stream_not_found", "key_not_found", "already_revoked", "invalid_json", "body_too_large"),
  },
});

/** The keys that encoders publish with, `/api/v1/streams/{id}/keys`. */
export const streamKeys = createRouter()
  .openapi(create, async (c) => {
    const { stream } = await findOpenStream(c);
    const { label, expires_at } = c.req.valid("json");
    const now = Date.now();
    const expiresAt = parseExpiry(expires_at, now);
    const keys = new StreamKeys(c.env.DB);
    const { key, ...kept } = await mintStreamKey(c.env);
    const row = await keys.add(stream, { label, ...kept, expiresAt }, authorOf(c), now);
    if (row === null) {
      // It may have been deleted meanwhile.
      await findOpenStream(c);
      throw tooManyKeys();
    }
    return c.json({ ...describeKey(row, now), stream_key: key }, 201);
  })
  .openapi(list, async (c) => {
    const { stream } = await findOwnStream(c);
    const rows = await new StreamKeys(c.env.DB).list(stream);
    return c.json({ keys: rows.map((row) => describeKey(row, Date.now())) }, 200);
  })
  .openapi(rotate, async (c) => {
    const { stream } = await findOpenStream(c);
    const now = Date.now();
    const keys = new StreamKeys(c.env.DB);
    const old = await findKey(c, keys, stream);
    const refusal = rotationRefusal(old, now);
    if (refusal !== null) throw refusal;
    const { overlap_seconds } = c.req.valid("json");
    const { key, ...kept } = await mintStreamKey(c.env);
    const row = await keys.rotate(old, { label: old.label, ...kept }, now + overlap_seconds * 1000, authorOf(c), now);
    if (row === null) {
      // Somebody else may have been faster: with the stream, or with the key.
      await findOpenStream(c);
      throw rotationRefusal(await findKey(c, keys, stream), now) ?? tooManyKeys();
    }
    return c.json({ ...describeKey(row, now), stream_key: key }, 201);
  })
  .openapi(revoke, async (c) => {
    const { stream } = await findOwnStream(c);
    const keys = new StreamKeys(c.env.DB);
    const key = await findKey(c, keys, stream);
    const isNew = await keys.revoke(key, authorOf(c), Date.now());
    // Also where it was revoked before: whoever asks again wants to be sure.
    await liveStream(c.env, stream).revokeKey(key.id);
    if (!isNew) throw alreadyRevoked();
    return c.body(null, 204);
  });

async function findKey(c: Context<ApiSurface>, keys: StreamKeys, stream: string): Promise<StreamKeyRow> {
  const key = await keys.find(stream, c.req.param("key_id") ?? "");
  if (key === null) throw new NovaError(404, "key_not_found", "no such key of this stream: check the id");
  return key;
}

function tooManyKeys(): NovaError {
  return new NovaError(409, "too_many_keys", `at most ${MAX_STREAM_KEYS} keys of a stream are valid at once: revoke some first`);
}

function describeKey(row: StreamKeyRow, now: Millis): StreamKeyResource {
  const { id, label, prefix, createdAt, expiresAt, lastUsedAt, lastUsedFrom, revokedAt, replacedBy } = row;
  return {
    ...{ id, label, prefix, status: keyStatus(row, now) },
    created_at: isoTime(createdAt),
    expires_at: isoTimeOrNull(expiresAt),
    last_used_at: isoTimeOrNull(lastUsedAt),
    last_used_from: lastUsedFrom,
    revoked_at: isoTimeOrNull(revokedAt),
    replaced_by: replacedBy,
  };
}
