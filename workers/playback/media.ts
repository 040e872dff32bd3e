import { WorkerEntrypoint } from "cloudflare:workers";
import { type Context, Hono } from "hono";
import { NovaError } from "../../domain/errors.ts";
import { mediaPath } from "../../domain/hls/live-playlists.ts";
import type { LiveStream, PlaylistAnswer } from "../../durable-objects/live-stream/live-stream.ts";
import { type Outcome, unwrap } from "../../durable-objects/live-stream/outcome.ts";
import { sha256Hex } from "../store/digest.ts";
import { answerError, liveStream, proveStreamId, type Surface } from "../surface.ts";
import { DeliveryDirectives } from "./directives.ts";
import { SingleFlight } from "./single-flight.ts";

/** What a fill of the cache is: whole, 200, with an explicit lifetime. */
interface Fill {
  body: Uint8Array<ArrayBuffer>;
  type: string;
  cacheControl: string;
  etag: string;
}

const IMMUTABLE = "public, max-age=31536000, immutable";
/** A part may leave the window before its segment does. */
const SHORT = "public, max-age=60";

const flights = new SingleFlight<Fill>();
const media = new Hono<Surface>();
media.onError((error, c) => answerError(error, c));
media.use(async (c, next) => {
  c.set("requestId", c.req.header("X-Request-Id") ?? crypto.randomUUID());
  await next();
});

media.get("/hls/:stream/index.m3u8", (c) =>
  fill(c, async () => {
    const answer = await ask(c, (object) => object.multivariantPlaylist());
    return playlistFill(answer, "public, max-age=1");
  }),
);

media.get("/hls/:stream/:rendition/index.m3u8", (c) =>
  fill(c, async () => {
    const { _HLS_msn: msn, _HLS_part: part, _HLS_skip: skip } = DeliveryDirectives.parse(c.req.query());
    const answer = await ask(c, (object) => object.mediaPlaylist(c.req.param("rendition"), { msn, part }, skip));
    return playlistFill(answer, msn === null ? "public, max-age=1" : SHORT);
  }),
);

media.get("/media/:stream/:broadcast/:rendition/:file", (c) => {
  const { rendition, file } = c.req.param();
  const broadcast = Number(c.req.param("broadcast"));
  const type = rendition === "audio" ? "audio/mp4" : "video/mp4";
  const part = /^(\d{1,9})-(\d{1,9})\.(\d{1,3})\.m4s$/.exec(file);
  return fill(c, async () => {
    if (part === null) {
      const key = mediaPath(c.req.param("stream"), broadcast, rendition, file);
      const object = await c.env.MEDIA.get(key);
      if (object === null) throw notFound();
      return { body: new Uint8Array(await object.arrayBuffer()), type, cacheControl: IMMUTABLE, etag: object.httpEtag };
    }
    const [epoch, msn, number] = part.slice(1).map(Number) as [number, number, number];
    const found = await ask(c, (object) => object.readPart({ broadcast, rendition, epoch, msn, part: number }));
    const etag = `"${epoch}-${msn}.${number}"`;
    if (found.kind === "bytes") return { body: Uint8Array.from(found.bytes), type, cacheControl: SHORT, etag };
    const object = await c.env.MEDIA.get(found.key, { range: { offset: found.offset, length: found.length } });
    if (object === null) throw notFound();
    return { body: new Uint8Array(await object.arrayBuffer()), type, cacheControl: SHORT, etag };
  });
});

/**
 * Fills the cache: canonical addresses in, whole answers out, the same for every viewer. Workers Cache stands before it, and
 * equal requests of one isolate are folded into one call of the stream's object.
 */
export class Media extends WorkerEntrypoint<Env> {
  override fetch(request: Request): Response | Promise<Response> {
    return media.fetch(request, this.env, this.ctx);
  }
}

async function fill(c: Context<Surface>, make: () => Promise<Fill>): Promise<Response> {
  const { pathname, search } = new URL(c.req.url);
  const { body, type, cacheControl, etag } = await flights.run(pathname + search, make, (call) => c.executionCtx.waitUntil(call));
  return new Response(body, { headers: { "Content-Type": type, "Cache-Control": cacheControl, ETag: etag } });
}

/** Asks the stream's object. One that was evicted or deployed over in the middle of a held request is asked once more. */
async function ask<Answer>(
  c: Context<Surface>,
  call: (object: DurableObjectStub<LiveStream>) => Promise<Outcome<Answer>>,
): Promise<Answer> {
  const id = await proveStreamId(c.env, c.req.param("stream") ?? "");
  let outcome: Outcome<Answer>;
  try {
    outcome = await call(liveStream(c.env, id));
  } catch {
    outcome = await call(liveStream(c.env, id));
  }
  return unwrap(outcome);
}

async function playlistFill({ text, ended }: PlaylistAnswer, live: string): Promise<Fill> {
  const body = Uint8Array.from(new TextEncoder().encode(text));
  const etag = `"${(await sha256Hex(body)).slice(0, 32)}"`;
  return { body, type: "application/vnd.apple.mpegurl", cacheControl: ended ? SHORT : live, etag };
}

function notFound(): NovaError {
  return new NovaError(404, "media_not_found", "no such media: it has expired, or never was");
}
