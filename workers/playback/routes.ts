import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { NovaError } from "../../domain/errors.ts";
import { RenditionName } from "../../domain/protocol/origin-link.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import { isoTime } from "../../domain/time.ts";
import { countPull, LIVE_HEADER } from "../audience/pull.ts";
import { parseInput, proveStreamId, type Surface } from "../surface.ts";
import { fillFor, privateToHolder } from "./access.ts";
import { DeliveryDirectives, encodeDirectives } from "./directives.ts";
import { cutRange } from "./range.ts";

/** What players ask for: `/hls`, `/dash` and `/media`, and the same behind a playback token, `/t/{token}/…`. Checks who asks, and passes the canonical address on: no cookie, token or unknown query reaches a cache key. */
export const playback = new Hono<Surface>();

const routes = new Hono<Surface>();

const playersCors = cors({
  origin: "*",
  allowMethods: ["GET", "HEAD", "OPTIONS"],
  allowHeaders: ["Range"],
  exposeHeaders: ["Age", "Cache-Status", "Date", "Content-Length", "Content-Range", "ETag"],
  maxAge: 86_400,
});
for (const path of ["/hls/*", "/dash/*", "/media/*", "/time"]) routes.use(path, playersCors);

/** The clock that DASH players go by (DA1). */
routes.get("/time", (c) => c.text(isoTime(Date.now()), 200, { "Cache-Control": "no-store" }));

routes.get("/hls/:stream/index.m3u8", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  return deliver(c, id, `/hls/${id}/index.m3u8`);
});

routes.get("/dash/:stream/manifest.mpd", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  return deliver(c, id, `/dash/${id}/manifest.mpd`);
});

// A broadcast's own entries, also when another one is live.
routes.get("/hls/:stream/:broadcast{[0-9]{1,9}}/index.m3u8", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  return deliver(c, id, `/hls/${id}/${Number(c.req.param("broadcast"))}/index.m3u8`);
});

routes.get("/dash/:stream/:broadcast{[0-9]{1,9}}/manifest.mpd", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  return deliver(c, id, `/dash/${id}/${Number(c.req.param("broadcast"))}/manifest.mpd`);
});

routes.get("/hls/:stream/:rendition/index.m3u8", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  return deliver(c, id, `/hls/${id}/${renditionOf(c)}/index.m3u8${directivesOf(c)}`);
});

routes.get("/hls/:stream/:broadcast{[0-9]{1,9}}/:rendition/:file{index\\.m3u8|recording\\.m3u8}", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  const { broadcast, file } = c.req.param();
  const directives = file === "index.m3u8" ? directivesOf(c) : "";
  return deliver(c, id, `/hls/${id}/${Number(broadcast)}/${renditionOf(c)}/${file}${directives}`);
});

const MEDIA_FILE = /^(init-\d{1,9}\.mp4|\d{1,9}-\d{1,9}(\.\d{1,3})?\.m4s)$/;

routes.get("/media/:stream/:broadcast{[0-9]{1,9}}/:rendition{[a-z0-9]{1,16}}/:file", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  const { broadcast, rendition, file } = c.req.param();
  if (!MEDIA_FILE.test(file)) throw new NovaError(404, "media_not_found", "no such media: take addresses from the playlists");
  return deliver(c, id, `/media/${id}/${Number(broadcast)}/${rendition}/${file}`);
});

playback.use("/t/:token/*", privateToHolder);
playback.route("/t/:token", routes);
playback.route("/", routes);

function renditionOf(c: Context<Surface>): string {
  return parseInput(RenditionName, c.req.param("rendition"));
}

function directivesOf(c: Context<Surface>): string {
  return encodeDirectives(parseInput(DeliveryDirectives, c.req.query()));
}

/** Asks for the whole thing, and answers what of it was asked for: nothing where the client has it, a range, or all, compressed where that helps. */
async function deliver(c: Context<Surface>, id: StreamId, canonical: string): Promise<Response> {
  const headers = { "X-Request-Id": c.get("requestId") };
  const { Media } = (c.executionCtx as ExecutionContext).exports;
  const answer = await fillFor(c, id, () => Media.fetch(new Request(new URL(canonical, "https://media"), { headers })));
  if (answer.status !== 200) return c.newResponse(answer.body, answer);
  const out = new Headers(answer.headers);
  if (out.has(LIVE_HEADER)) c.executionCtx.waitUntil(countPull(c.env, id, c.req.raw));
  out.delete(LIVE_HEADER);
  const etag = out.get("ETag");
  if (
    etag !== null &&
    c.req
      .header("If-None-Match")
      ?.split(",")
      .some((tag) => tag.trim().replace(/^W\//, "") === etag)
  ) {
    await answer.body?.cancel();
    return c.newResponse(null, { status: 304, headers: out });
  }
  if (!canonical.startsWith("/media/")) return playlist(c, answer, out);
  // A segment that is coming in has no tag yet: it goes on as it comes, unless a range of it is asked for.
  if (etag === null && c.req.header("Range") === undefined) return c.newResponse(answer.body, { status: 200, headers: out });
  const cut = cutRange(c.req.header("Range"), new Uint8Array(await answer.arrayBuffer()));
  out.set("Accept-Ranges", "bytes");
  out.set("Content-Length", String(cut.bytes.length));
  if (cut.contentRange !== null) out.set("Content-Range", cut.contentRange);
  if (cut.status !== 200) out.set("Cache-Control", "no-store");
  return c.newResponse(cut.bytes, { status: cut.status, headers: out });
}

function playlist(c: Context<Surface>, answer: Response, out: Headers): Response {
  out.set("Vary", "Accept-Encoding");
  // The platform rewrites `Accept-Encoding` on the way; what the client itself said is beside it.
  const accepted = (c.req.raw.cf?.clientAcceptEncoding as string | undefined) ?? c.req.header("Accept-Encoding") ?? "";
  // The runtime compresses what this header says is compressed.
  if (/\bgzip\b/.test(accepted)) out.set("Content-Encoding", "gzip");
  return c.newResponse(answer.body, { status: 200, headers: out });
}
