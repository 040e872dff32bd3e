import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { NovaError } from "../../domain/errors.ts";
import { mediaPath } from "../../domain/hls/live-playlists.ts";
import { RenditionName } from "../../domain/protocol/origin-link.ts";
import type { PlaylistAnswer } from "../../durable-objects/live-stream/live-stream.ts";
import { unwrap } from "../../durable-objects/live-stream/outcome.ts";
import { liveStream, parseInput, proveStreamId, type Surface } from "../surface.ts";
import { cutRange } from "./range.ts";

const IMMUTABLE = "public, max-age=31536000, immutable";
/** A part may leave the window before its segment does. */
const PART_CACHE = "public, max-age=60";

/** What players ask for: `/hls` and `/media`. */
export const playback = new Hono<Surface>();

const playersCors = cors({
  origin: "*",
  allowMethods: ["GET", "HEAD", "OPTIONS"],
  allowHeaders: ["Range"],
  exposeHeaders: ["Age", "Date", "Content-Length", "Content-Range"],
  maxAge: 86_400,
});
playback.use("/hls/*", playersCors);
playback.use("/media/*", playersCors);

playback.get("/hls/:stream/index.m3u8", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  return playlist(c, unwrap(await liveStream(c.env, id).multivariantPlaylist()));
});

playback.get("/hls/:stream/:rendition/index.m3u8", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  return playlist(c, unwrap(await liveStream(c.env, id).mediaPlaylist(parseInput(RenditionName, c.req.param("rendition")))));
});

playback.get("/media/:stream/:broadcast{[0-9]{1,9}}/:rendition{[a-z0-9]{1,16}}/:file", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  const { broadcast, rendition, file } = c.req.param();
  const part = /^(\d{1,9})-(\d{1,9})\.(\d{1,3})\.m4s$/.exec(file);
  if (part !== null) {
    const [epoch, msn, number] = part.slice(1).map(Number) as [number, number, number];
    const bytes = await readPart(c, id, Number(broadcast), rendition, epoch, msn, number);
    return media(c, bytes, rendition, PART_CACHE, null);
  }
  if (!/^(init-\d{1,9}\.mp4|\d{1,9}-\d{1,9}\.m4s)$/.test(file)) throw notFound();
  const object = await c.env.MEDIA.get(mediaPath(id, Number(broadcast), rendition, file));
  if (object === null) throw notFound();
  return media(c, new Uint8Array(await object.arrayBuffer()), rendition, IMMUTABLE, object.httpEtag);
});

async function readPart(
  c: Context<Surface>,
  id: Awaited<ReturnType<typeof proveStreamId>>,
  broadcast: number,
  rendition: string,
  epoch: number,
  msn: number,
  part: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const found = unwrap(await liveStream(c.env, id).readPart(broadcast, rendition, epoch, msn, part));
  if (found.kind === "bytes") return Uint8Array.from(found.bytes);
  const object = await c.env.MEDIA.get(found.key, { range: { offset: found.offset, length: found.length } });
  if (object === null) throw notFound();
  return new Uint8Array(await object.arrayBuffer());
}

function playlist(c: Context<Surface>, answer: PlaylistAnswer): Response {
  return c.body(answer.text, 200, {
    "Content-Type": "application/vnd.apple.mpegurl",
    "Cache-Control": answer.ended ? "public, max-age=60" : "public, max-age=1",
  });
}

function media(
  c: Context<Surface>,
  bytes: Uint8Array<ArrayBuffer>,
  rendition: string,
  cacheControl: string,
  etag: string | null,
): Response {
  const headers = new Headers({
    "Content-Type": rendition === "audio" ? "audio/mp4" : "video/mp4",
    "Cache-Control": cacheControl,
    "Accept-Ranges": "bytes",
  });
  if (etag !== null) headers.set("ETag", etag);
  const cut = cutRange(c.req.header("Range"), bytes);
  if (cut.contentRange !== null) headers.set("Content-Range", cut.contentRange);
  if (cut.status !== 200) headers.set("Cache-Control", "no-store");
  headers.set("Content-Length", String(cut.bytes.length));
  return c.newResponse(cut.bytes, cut.status, Object.fromEntries(headers));
}

function notFound(): NovaError {
  return new NovaError(404, "media_not_found", "no such media: it has expired, or never was");
}
