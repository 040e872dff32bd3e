import { Hono } from "hono";
import { z } from "zod";
import { NovaError } from "../../domain/errors.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import { notConfigured, type PlaybackClaims, PlaybackKeysError, playbackKeysOf } from "../playback/playback-token.ts";
import { readJson } from "../surface.ts";
import { type ApiSurface, requireScope } from "./access.ts";
import { findOwnStream } from "./own-stream.ts";

const MAX_AHEAD_MS: Millis = 30 * 86_400_000;

/** The body of `POST /api/v1/streams/{id}/playback-tokens`. */
const MintPlaybackToken = z.strictObject({
  /** Seconds, counted from `not_before` where it lies ahead. */
  expires_in: z.number().int().min(60).max(604_800).default(3600),
  /** Up to 30 days ahead. */
  not_before: z.iso.datetime({ offset: true }).optional(),
});

/** Playback tokens of signed streams, for whoever owns the stream. */
export const playbackTokens = new Hono<ApiSurface>();

playbackTokens.post("/streams/:id/playback-tokens", requireScope("streams:write"), async (c) => {
  c.header("Cache-Control", "no-store");
  const { stream, row } = await findOwnStream(c);
  if (row.deletedAt !== null) throw new NovaError(410, "stream_deleted", "this stream was deleted: create a new one");
  const body = await readJson(c.req.raw, MintPlaybackToken, 1024);
  const claims: PlaybackClaims = { sub: stream, ...validity(body, Date.now()) };
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
function validity(body: z.output<typeof MintPlaybackToken>, now: Millis): { exp: number; nbf?: number } {
  const notBefore = body.not_before === undefined ? 0 : Date.parse(body.not_before);
  if (notBefore > now + MAX_AHEAD_MS) throw new NovaError(400, "invalid_request", "not_before: at most 30 days ahead");
  if (notBefore <= now) return { exp: Math.floor(now / 1000) + body.expires_in };
  const nbf = Math.floor(notBefore / 1000);
  return { exp: nbf + body.expires_in, nbf };
}
