import { WorkerEntrypoint } from "cloudflare:workers";
import { type Context, Hono } from "hono";
import { NovaError } from "../../domain/errors.ts";
import { entryKey, mediaPath, recordingKey } from "../../domain/media-address.ts";
import { type Outcome, unwrap } from "../../durable-objects/live-stream/outcome.ts";
import type { MediaPlaylistAnswer, SegmentAddress } from "../../durable-objects/live-stream/playback.ts";
import { learnPlan } from "../audience/plans.ts";
import { LIVE_HEADER } from "../audience/pull.ts";
import { Recent } from "../recent.ts";
import { sha256Hex } from "../store/digest.ts";
import { answerError, liveStream, proveStreamId, type Surface } from "../surface.ts";
import { DeliveryDirectives, encodeDirectives } from "./directives.ts";
import { type Fill, FillCache } from "./fill-cache.ts";
import { streamParts } from "./open-segment.ts";
import { type PlaybackSource, playbackSource } from "./source.ts";

const IMMUTABLE = "public, max-age=31536000, immutable";
/** A part may leave the window before its segment does. */
const SHORT = "public, max-age=60";
/** What goes on changing, or what an address names without saying of which broadcast. */
const LIVE = "public, max-age=1";
/** Media and blocking playlists are asked for within moments of each other. */
const MEDIA_FRESH_MS = 10_000;
const LIVE_FRESH_MS = 500;

const MULTIVARIANT = "application/vnd.apple.mpegurl";
const MANIFEST = "application/dash+xml";

const cache = new FillCache();
/** Entries that were live a moment ago: no recording is looked for at their address. */
const liveEntries = new Recent<true>(30_000);
/** Segments that were coming in a moment ago: R2 does not have them. */
const openSegments = new Recent<true>(1_000);
/** The last complete segment of playlists, as far as this isolate has seen. */
const completeSegments = new Recent<number>(10_000);
const media = new Hono<Surface>();
media.onError((error, c) => answerError(error, c));
media.use(async (c, next) => {
  c.set("requestId", c.req.header("X-Request-Id") ?? crypto.randomUUID());
  await next();
});

media.get("/hls/:stream/index.m3u8", (c) => fill(c, () => entry(c, "index.m3u8", null)));
media.get("/hls/:stream/:broadcast{[0-9]+}/index.m3u8", (c) => fill(c, () => entry(c, "index.m3u8", Number(c.req.param("broadcast")))));
media.get("/dash/:stream/manifest.mpd", (c) => fill(c, () => entry(c, "manifest.mpd", null)));
media.get("/dash/:stream/:broadcast{[0-9]+}/manifest.mpd", (c) =>
  fill(c, () => entry(c, "manifest.mpd", Number(c.req.param("broadcast")))),
);

media.get("/hls/:stream/:rendition/index.m3u8", (c) => mediaPlaylist(c, null));
media.get("/hls/:stream/:broadcast/:rendition/index.m3u8", (c) => mediaPlaylist(c, Number(c.req.param("broadcast"))));
media.get("/hls/:stream/:broadcast/:rendition/recording.m3u8", (c) => {
  const { stream, broadcast, rendition } = c.req.param();
  return fill(c, () => readObject(c, recordingKey(stream, Number(broadcast), rendition), MULTIVARIANT, SHORT));
});

media.get("/media/:stream/:broadcast/:rendition/:file", async (c) => {
  const { stream, rendition, file } = c.req.param();
  const broadcast = Number(c.req.param("broadcast"));
  const type = rendition === "audio" ? "audio/mp4" : "video/mp4";
  const [, epoch, msn, part] = /^(\d{1,9})-(\d{1,9})(?:\.(\d{1,3}))?\.m4s$/.exec(file) ?? [];
  const address: SegmentAddress = { broadcast, rendition, epoch: Number(epoch), msn: Number(msn) };
  if (part !== undefined) return fill(c, () => readPart(c, address, Number(part)));
  const key = mediaPath(stream, broadcast, rendition, file);
  if (openSegments.get(key) === undefined) {
    try {
      return await fill(c, () => readObject(c, key, type, IMMUTABLE));
    } catch (error) {
      if (epoch === undefined || !(error instanceof NovaError) || error.status !== 404) throw error;
      // Not in R2: it may be the segment that is coming in just now (DA4).
      await ask(c, (object) => object.assertOpen(address));
      openSegments.set(key, true);
    }
  }
  const nextPart = (number: number) => run(c, `${partPath(stream, address)}.${number}.m4s`, () => readPart(c, address, number));
  return new Response(await streamParts(nextPart), { headers: { "Content-Type": type, "Cache-Control": SHORT } });
});

/**
 * Fills the cache: canonical addresses in, whole answers out, the same for every viewer. Workers Cache stands before it, and
 * the isolate's own cache folds what is asked for in the same moments into one call of the stream's object, or one read of R2.
 */
export class Media extends WorkerEntrypoint<Env> {
  override fetch(request: Request): Response | Promise<Response> {
    return media.fetch(request, this.env, this.ctx);
  }
}

/** Fills from the isolate's cache; the key is the address itself, where no other is given. */
async function fill(c: Context<Surface>, make: () => Promise<Fill>, key = addressOf(c)): Promise<Response> {
  const { fill: found, status } = await run(c, key, make);
  const how = status === "hit" ? "hit" : `fwd=miss${status === "collapsed" ? "; collapsed" : ""}; detail=${found.from.join("-")}`;
  const headers: Record<string, string> = {
    "Content-Type": found.type,
    "Cache-Control": found.cacheControl,
    ETag: found.etag,
    "Cache-Status": `nova-isolate; ${how}`,
  };
  if (found.isWatched) headers[LIVE_HEADER] = "1";
  return new Response(found.body, { headers });
}

function addressOf(c: Context<Surface>): string {
  const { pathname, search } = new URL(c.req.url);
  return pathname + search;
}

function run(c: Context<Surface>, key: string, make: () => Promise<Fill>) {
  return cache.run(key, make, (call) => c.executionCtx.waitUntil(call));
}

/** A multivariant playlist or a manifest: of a recording in R2, so that no object wakes for it, or of what is live. A broadcast of null is the current one. */
async function entry(c: Context<Surface>, file: "index.m3u8" | "manifest.mpd", broadcast: number | null): Promise<Fill> {
  const stream = c.req.param("stream") as string;
  const type = file === "index.m3u8" ? MULTIVARIANT : MANIFEST;
  const place = broadcast === null ? stream : `${stream}/${broadcast}`;
  if (liveEntries.get(place) === undefined) {
    const object = await c.env.MEDIA.get(entryKey(place, file));
    if (object !== null) return objectFill(object, type, broadcast === null ? LIVE : SHORT);
  }
  const answer = await ask(c, (object) => (file === "index.m3u8" ? object.multivariantPlaylist(broadcast) : object.manifest(broadcast)));
  if (answer.ended) liveEntries.delete(place);
  else liveEntries.set(place, true);
  const made = await textFill(answer.text, type, LIVE, LIVE_FRESH_MS, ["object"]);
  // Of HLS the media playlists are asked for again, not this.
  return { ...made, isWatched: !answer.ended && file === "manifest.mpd" };
}

/** A broadcast's media playlist, or the current one's. One that was recorded, and is no longer with the object, is read from R2. */
async function mediaPlaylist(c: Context<Surface>, broadcast: number | null): Promise<Response> {
  const directives = DeliveryDirectives.parse(c.req.query());
  const { pathname } = new URL(c.req.url);
  // Whoever asks for what is long there gets the current playlist (BR4): the same as one who asks for nothing.
  const known = broadcast === null ? 0 : (completeSegments.get(pathname) ?? 0);
  const isOld = directives._HLS_msn !== null && directives._HLS_msn < known;
  const wanted = isOld ? { ...directives, _HLS_msn: null, _HLS_part: null } : directives;
  return fill(c, () => makeMediaPlaylist(c, broadcast, wanted), pathname + encodeDirectives(wanted));
}

async function makeMediaPlaylist(c: Context<Surface>, broadcast: number | null, directives: DeliveryDirectives): Promise<Fill> {
  const { stream, rendition } = c.req.param() as { stream: string; rendition: string };
  const { _HLS_msn: msn, _HLS_part: part, _HLS_skip: skip } = directives;
  let answer: MediaPlaylistAnswer;
  try {
    answer = await ask(c, (object) => object.mediaPlaylist(broadcast, rendition, { msn, part }, skip));
  } catch (error) {
    if (broadcast === null || !(error instanceof NovaError) || error.status !== 410) throw error;
    return readObject(c, recordingKey(stream, broadcast, rendition), MULTIVARIANT, SHORT).catch(() => Promise.reject(error));
  }
  completeSegments.set(new URL(c.req.url).pathname, answer.complete);
  if (answer.plan !== null) learnPlan(await proveStreamId(c.env, stream), answer.plan);
  // The playlists of a broadcast lie one level deeper than those of whatever is current.
  const text = broadcast === null ? answer.text.replaceAll("../../../../media/", "../../../media/") : answer.text;
  const isFixed = broadcast !== null && (answer.ended || msn !== null);
  const made = await textFill(text, MULTIVARIANT, isFixed ? SHORT : LIVE, isFixed ? MEDIA_FRESH_MS : LIVE_FRESH_MS, ["object"]);
  return { ...made, isWatched: !answer.ended };
}

async function readPart(c: Context<Surface>, address: SegmentAddress, part: number): Promise<Fill> {
  const found = await ask(c, (object) => object.readPart({ ...address, part }));
  const type = address.rendition === "audio" ? "audio/mp4" : "video/mp4";
  const common = { type, cacheControl: SHORT, etag: `"${address.epoch}-${address.msn}.${part}"`, freshMs: MEDIA_FRESH_MS };
  if (found.kind === "bytes") return { ...common, body: Uint8Array.from(found.bytes), from: ["object"] };
  const object = await c.env.MEDIA.get(found.key, { range: { offset: found.offset, length: found.length } });
  if (object === null) throw notFound();
  return { ...common, body: new Uint8Array(await object.arrayBuffer()), from: ["object", "r2"] };
}

/** Throws 404 `media_not_found`. */
async function readObject(c: Context<Surface>, key: string, type: string, cacheControl: string): Promise<Fill> {
  const object = await c.env.MEDIA.get(key);
  if (object === null) throw notFound();
  return objectFill(object, type, cacheControl);
}

async function objectFill(object: R2ObjectBody, type: string, cacheControl: string): Promise<Fill> {
  const body = new Uint8Array(await object.arrayBuffer());
  const freshMs = cacheControl === LIVE ? LIVE_FRESH_MS : MEDIA_FRESH_MS;
  return { body, type, cacheControl, etag: object.httpEtag, from: ["r2"], freshMs };
}

async function textFill(text: string, type: string, cacheControl: string, freshMs: number, from: Fill["from"]): Promise<Fill> {
  const body = Uint8Array.from(new TextEncoder().encode(text));
  return { body, type, cacheControl, etag: `"${(await sha256Hex(body)).slice(0, 32)}"`, from, freshMs };
}

/** Asks the stream's object, or a shard of it. One that was evicted or deployed over in the middle of a held request is asked once more: the stream's own. */
async function ask<Answer>(c: Context<Surface>, call: (source: PlaybackSource) => Promise<Outcome<Answer>>): Promise<Answer> {
  const id = await proveStreamId(c.env, c.req.param("stream") ?? "");
  let outcome: Outcome<Answer>;
  try {
    outcome = await call(playbackSource(c.env, id));
  } catch {
    outcome = await call(liveStream(c.env, id));
  }
  return unwrap(outcome);
}

function partPath(stream: string, { broadcast, rendition, epoch, msn }: SegmentAddress): string {
  return `/media/${mediaPath(stream, broadcast, rendition, `${epoch}-${msn}`)}`;
}

function notFound(): NovaError {
  return new NovaError(404, "media_not_found", "no such media: it has expired, or never was");
}
