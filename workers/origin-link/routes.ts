import { type Context, Hono } from "hono";
import { parseMediaTime, parseTimescale } from "../../domain/cmaf/media-time.ts";
import { NovaError } from "../../domain/errors.ts";
import { initFile, mediaPath, segmentFile } from "../../domain/media-address.ts";
import {
  EndRequest,
  Heartbeat,
  MAX_PARTS_BYTES,
  NextEpochRequest,
  PartQuery,
  PublishRequest,
  RenditionName,
  SegmentQuery,
  StandbyRequest,
  TracksRequest,
} from "../../domain/protocol/origin-link.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import { unwrap } from "../../durable-objects/live-stream/outcome.ts";
import type { Holder } from "../../durable-objects/live-stream/publishing.ts";
import { configOf } from "../api/streams.ts";
import { Recent } from "../recent.ts";
import { isOneOf, sha256Hex } from "../store/digest.ts";
import { StreamKeys } from "../store/stream-keys.ts";
import { streamKeysOf } from "../store/tokens.ts";
import { liveStream, parseInput, proveStreamId, readBody, readJson, type Surface } from "../surface.ts";
import { putImmutable } from "./immutable.ts";
import { parsePartsBody } from "./parts-body.ts";

/** Parts of one segment are numbered from 0; even the longest segment has far fewer. */
const MAX_PART = 199;
const MAX_INIT_BYTES = 1 << 20;
const MAX_PART_BYTES = 16 << 20;
const MAX_HEAD_BYTES = 64 << 10;
const MAX_SEGMENT_BYTES = 64 << 20;

/** What origins call, `/origin/v1`. */
export const originLink = new Hono<Surface>();

/** Tokens that were proven a moment ago: an origin with a hundred streams calls six hundred times a second. */
const provenTokens = new Recent<true>(60_000);

originLink.use(async (c, next) => {
  const token = /^Bearer (.+)$/i.exec(c.req.header("Authorization") ?? "")?.[1];
  const key = `${c.env.ORIGIN_TOKENS} ${token}`;
  if (token === undefined || (provenTokens.get(key) === undefined && !(await isOneOf(token, c.env.ORIGIN_TOKENS)))) {
    throw new NovaError(401, "unauthorized", "this origin's token is not one of ORIGIN_TOKENS");
  }
  provenTokens.set(key, true);
  await next();
});

originLink.post("/publish", async (c) => {
  const request = await readJson(c.req.raw, PublishRequest);
  const unknown = new NovaError(401, "unknown_key", "this stream key is not known: check it in your encoder");
  // A made-up key is refused before it costs a read.
  if (!(await streamKeysOf(c.env).verify(request.stream_key))) throw unknown;
  const keys = new StreamKeys(c.env.DB);
  const found = await keys.findByDigest(await sha256Hex(request.stream_key));
  if (found === null) throw unknown;
  const { key } = found;
  if (found.stream.deletedAt !== null) throw new NovaError(403, "stream_ended", "this stream was deleted: create a new one");
  if (key.revokedAt !== null) throw new NovaError(403, "key_revoked", "this stream key was revoked: use a new one");
  if (key.expiresAt !== null && key.expiresAt <= Date.now())
    throw new NovaError(403, "key_expired", "this stream key has expired: use a new one");
  const id = await proveStreamId(c.env, found.stream.id);
  const by = { originId: request.origin_id, keyId: key.id, backup: request.backup };
  const answer = unwrap(await liveStream(c.env, id).publish(configOf(found.stream), by));
  const from = { address: request.encoder.address, origin: request.origin_id };
  c.executionCtx.waitUntil(keys.noteUse(key.id, from, Date.now()).catch(() => undefined));
  return c.json(answer, "standby" in answer ? 202 : 200);
});

// Asked twice a second by each backup: only the object, which has let it wait, knows the ticket.
originLink.post("/:stream/standby", async (c) => {
  const id = await proveStreamId(c.env, c.req.param("stream"));
  const answer = unwrap(await liveStream(c.env, id).standby(await readJson(c.req.raw, StandbyRequest)));
  return c.json(answer, "standby" in answer ? 202 : 200);
});

originLink.post("/:stream/:epoch/next", async (c) => {
  const { object, holder } = await target(c);
  const { origin_id } = await readJson(c.req.raw, NextEpochRequest);
  return c.json(unwrap(await object.nextEpoch(holder, origin_id)));
});

originLink.put("/:stream/:epoch/tracks", async (c) => {
  const { object, holder } = await target(c);
  unwrap(await object.putTracks(holder, await readJson(c.req.raw, TracksRequest)));
  return c.body(null, 204);
});

originLink.put("/:stream/:epoch/:rendition/init.mp4", async (c) => {
  const { id, object, holder, broadcast } = await target(c);
  const rendition = renditionOf(c);
  const bytes = await readBody(c.req.raw, MAX_INIT_BYTES);
  const digest = await sha256Hex(bytes);
  unwrap(await object.authorize(holder, null));
  await putImmutable(c.env.MEDIA, mediaPath(id, broadcast, rendition, initFile(holder.epoch)), bytes, digest);
  unwrap(await object.addInit(holder, { rendition, digest, timescale: parseTimescale(bytes) }));
  return c.body(null, 201);
});

originLink.put("/:stream/:epoch/:rendition/:msn/:part", async (c) => {
  const { object, holder } = await target(c);
  const { duration, independent } = parseInput(PartQuery, c.req.query());
  const bytes = await readBody(c.req.raw, MAX_PART_BYTES);
  if (bytes.length === 0) throw new NovaError(400, "empty_part", "a part has bytes");
  const push = {
    msn: wholeNumber(c, "msn", 1),
    part: wholeNumber(c, "part", 0, MAX_PART),
    duration,
    independent,
    size: bytes.length,
    digest: await sha256Hex(bytes),
  };
  return c.json(unwrap(await object.addPart(holder, renditionOf(c), push, bytes)));
});

originLink.post("/:stream/:epoch/parts", async (c) => {
  const { object, holder } = await target(c);
  const { head, bytes } = parsePartsBody(await readBody(c.req.raw, MAX_PARTS_BYTES + MAX_HEAD_BYTES));
  const digests = await Promise.all(bytes.map(sha256Hex));
  const pushes = head.parts.map(({ rendition, ...part }, index) => ({ rendition, push: { ...part, digest: digests[index] ?? "" } }));
  return c.json(unwrap(await object.addParts(holder, pushes, bytes, head.heartbeat)));
});

originLink.put("/:stream/:epoch/:rendition/:msn", async (c) => {
  const { id, object, holder, broadcast } = await target(c);
  const rendition = renditionOf(c);
  const msn = wholeNumber(c, "msn", 1);
  const { duration, pdt, gap } = parseInput(SegmentQuery, c.req.query());
  const bytes = await readBody(c.req.raw, MAX_SEGMENT_BYTES);
  if ((bytes.length === 0) !== gap) throw new NovaError(400, "empty_segment", "a segment has bytes, and a gap has none");
  const digest = gap ? "" : await sha256Hex(bytes);
  unwrap(await object.authorize(holder, { rendition, msn, duration, pdt }));
  if (!gap) await putImmutable(c.env.MEDIA, mediaPath(id, broadcast, rendition, segmentFile(holder.epoch, msn)), bytes, digest);
  const time = gap ? null : parseMediaTime(bytes);
  unwrap(await object.commitSegment(holder, rendition, { msn, duration, pdt, time, size: bytes.length, digest, gap }));
  return c.body(null, 201);
});

originLink.post("/:stream/:epoch/heartbeat", async (c) => {
  const { object, holder } = await target(c);
  return c.json(unwrap(await object.heartbeat(holder, await readJson(c.req.raw, Heartbeat))));
});

originLink.post("/:stream/:epoch/end", async (c) => {
  const { object, holder } = await target(c);
  unwrap(await object.end(holder, await readJson(c.req.raw, EndRequest)));
  return c.body(null, 204);
});

/** Whom a call is for. A lease begins with the number of its broadcast, so that a key in R2 needs no look-up; the object proves the lease itself. */
async function target(c: Context<Surface>) {
  const id: StreamId = await proveStreamId(c.env, c.req.param("stream") ?? "");
  const lease = c.req.header("Lease") ?? "";
  const broadcast = Number(/^(\d{1,9})\./.exec(lease)?.[1] ?? 0);
  if (broadcast === 0) throw new NovaError(409, "fenced", "no lease: send the one that publish gave in the header Lease");
  const holder: Holder = { epoch: wholeNumber(c, "epoch", 1), lease };
  return { id, object: liveStream(c.env, id), holder, broadcast };
}

function renditionOf(c: Context<Surface>): string {
  return parseInput(RenditionName, c.req.param("rendition"));
}

function wholeNumber(c: Context<Surface>, name: string, least: number, most = 999_999_999): number {
  const text = c.req.param(name) ?? "";
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < least || value > most) {
    throw new NovaError(400, "invalid_request", `${name}: a whole number from ${least} to ${most}`);
  }
  return value;
}
