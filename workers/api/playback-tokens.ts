import { createRoute, z } from "@hono/zod-openapi";
import { MintPlaybackToken, PlaybackToken } from "../../domain/protocol/api/playback-tokens.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import { notConfigured, type PlaybackClaims, PlaybackKeysError, playbackKeysOf } from "../playback/playback-token.ts";
import { invalidFields } from "../surface.ts";
import { IDEMPOTENCY_REFUSALS, IdempotencyKey } from "./idempotency.ts";
import { answer, authorized, jsonBody, refusals } from "./operation.ts";
import { findOpenStream, StreamParams } from "./own-stream.ts";
import { createRouter } from "./router.ts";

const MAX_AHEAD_MS: Millis = 30 * 86_400_000;

const mint = createRoute({
  ...{ method: "post", path: "/streams/{id}/playback-tokens", operationId: "createPlaybackToken", ...authorized("streams:write") },
  tags: ["Playback"],
  summary: "Create a playback token",
  description: "Whoever has it plays the stream until it expires, also where its visibility is `signed`. It cannot be taken back.",
  request: { params: StreamParams, headers: z.object(IdempotencyKey), body: jsonBody(MintPlaybackToken) },
  responses: {
    201: answer(PlaybackToken, "The token, and addresses that hold it"),
    ...refusals("stream_not_found", "stream_deleted", "signing_not_configured", "invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

/** Playback tokens of signed streams, `/api/v1/streams/{id}/playback-tokens`. */
export const playbackTokens = createRouter().openapi(mint, async (c) => {
  const { stream } = await findOpenStream(c);
  const claims: PlaybackClaims = { sub: stream, ...validity(c.req.valid("json"), Date.now()) };
  const keys = await playbackKeysOf(c.env.PLAYBACK_KEYS, true);
  const token = await keys.sign(claims).catch((error: unknown) => {
    throw error instanceof PlaybackKeysError ? notConfigured(error.message) : error;
  });
  const { origin } = new URL(c.req.url);
  const base = `${origin}/t/${token}`;
  return c.json(
    {
      token,
      expires_at: isoTime(claims.exp * 1000),
      playback: { hls: `${base}/hls/${stream}/index.m3u8`, dash: `${base}/dash/${stream}/manifest.mpd` },
      // In the fragment it reaches no server, so no log and no Referer either.
      watch_url: `${origin}/watch/${stream}#token=${token}`,
    },
    201,
  );
});

/** From when to when, Unix seconds. Throws 400 `invalid_request`. */
function validity(body: MintPlaybackToken, now: Millis): { exp: number; nbf?: number } {
  const notBefore = body.not_before === undefined ? 0 : Date.parse(body.not_before);
  if (notBefore > now + MAX_AHEAD_MS) throw invalidFields([{ field: "not_before", message: "at most 30 days ahead" }]);
  if (notBefore <= now) return { exp: Math.floor(now / 1000) + body.expires_in };
  const nbf = Math.floor(notBefore / 1000);
  return { exp: nbf + body.expires_in, nbf };
}
