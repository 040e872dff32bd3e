import { createServer, type IncomingHttpHeaders, request as proxyRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PartsAnswer, PartsHead } from "../../domain/protocol/origin-link.ts";
import { type Conformance, StrictPlayer } from "../conformance/strict-player.ts";
import { type Encoder, type EncoderOptions, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";

/** Longer than what a delta update may never skip, so that there is something to skip. */
const FOLLOW_MS = 17_000;
const LONG_FOLLOW_MS = 60_000;
/** Parts that may be listed later than their time [BR7]: the machine has other work too. */
const LATE_SHARE = 0.25;
/** The segment that the edge refuses in streams of this list. */
const LOST_MSN = 4;
const lossy = new Set<string>();

let platform: Platform;
const encoders: Encoder[] = [];

beforeAll(async () => {
  platform = await startPlatform({ edgeUrl: losingRelay });
});
afterAll(async () => {
  await Promise.all(encoders.map((encoder) => encoder.crash()));
  await platform.stop();
});

function encode(key: string, options: EncoderOptions): Encoder {
  const encoder = startEncoder(platform.rtmpPort, key, options);
  encoders.push(encoder);
  return encoder;
}

/** A relay before the edge that refuses one segment of the video of lossy streams, and its parts. */
async function losingRelay(site: string): Promise<string> {
  const server = createServer(async (request, response) => {
    const [, partsOf = ""] = /^\/origin\/v1\/(\w+)\/\d+\/parts$/.exec(request.url ?? "") ?? [];
    if (lossy.has(partsOf)) {
      const answer = await passPartsOn(site + request.url, request.headers, await buffer(request));
      response.writeHead(answer.status, { "Content-Type": "application/json" }).end(answer.body);
      return;
    }
    const [, stream = "", rendition, msn] = /^\/origin\/v1\/(\w+)\/\d+\/(\w+)\/(\d+)/.exec(request.url ?? "") ?? [];
    if (lossy.has(stream) && rendition === "source" && Number(msn) === LOST_MSN && !request.url?.includes("gap=1")) {
      request.resume();
      response
        .writeHead(422, { "Content-Type": "application/json" })
        .end('{"error":"lost","message":"refused for a test","request_id":"x"}');
      return;
    }
    const options = { method: request.method, headers: request.headers };
    const onward = proxyRequest(site + request.url, options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Several parts in one call: those of the lost segment are refused, the others go on. */
async function passPartsOn(url: string, headers: IncomingHttpHeaders, body: Buffer): Promise<{ status: number; body: string }> {
  const headEnd = 4 + body.readUInt32BE(0);
  const { parts, heartbeat } = JSON.parse(body.toString("utf8", 4, headEnd)) as PartsHead;
  let at = headEnd;
  const placed = parts.map((part) => {
    at += part.size;
    return { part, bytes: body.subarray(at - part.size, at), isLost: part.rendition === "source" && part.msn === LOST_MSN };
  });
  const kept = placed.filter(({ isLost }) => !isLost);
  const head = Buffer.from(JSON.stringify({ parts: kept.map(({ part }) => part), heartbeat }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(head.length);
  const answer = await fetch(url, {
    method: "POST",
    headers: { Authorization: headers.authorization ?? "", Lease: String(headers.lease) },
    body: Buffer.concat([length, head, ...kept.map(({ bytes }) => bytes)]),
  });
  const text = await answer.text();
  if (!answer.ok) return { status: answer.status, body: text };
  const taken = JSON.parse(text) as PartsAnswer;
  const lost = { status: 422, error: "lost", message: "refused for a test" };
  return { status: 200, body: JSON.stringify({ ...taken, parts: placed.map(({ isLost }) => (isLost ? lost : taken.parts.shift())) }) };
}

/** Follows a new stream while `encoding` lasts, to the end of its playlists. */
async function follow(
  encoding: (key: string) => Promise<Encoder>,
  { loses = false, forMs = FOLLOW_MS } = {},
): Promise<Conformance & { endKnownMs: number }> {
  const { id, stream_key } = await platform.createStream();
  if (loses) lossy.add(id);
  const player = new StrictPlayer(`${platform.site}/hls/${id}/index.m3u8`, AbortSignal.timeout(forMs + 13_000));
  const followed = player.follow();
  followed.catch(() => undefined);
  const last = await encoding(stream_key);
  await last.stop();
  const stoppedAt = performance.now();
  const seen = await followed;
  return { ...seen, endKnownMs: seen.endedAt - stoppedAt };
}

// The streams run side by side: each is little work, and takes its time.
describe.concurrent("[PL1] to [PL15], [BR3] to [BR8], [CM1] and [CM2]: the strictest player finds nothing to complain of", {
  timeout: LONG_FOLLOW_MS + 40_000,
}, () => {
  it("in 30 frames/s with audio of 48 kHz, for a minute", async () => {
    const seen = await follow(
      async (key) => {
        const encoder = encode(key, { fps: 30, gopSeconds: 2 });
        await sleep(LONG_FOLLOW_MS);
        return encoder;
      },
      { forMs: LONG_FOLLOW_MS },
    );
    expect(seen.violations).toEqual([]);
    expect(seen.endKnownMs).toBeLessThan(2000);
    expect(seen.segments.source).toBeGreaterThan(27);
    const { deltas = 0, late = 0, reloads = 0 } = seen.times.source ?? {};
    expect(deltas).toBeGreaterThan(20);
    expect(late).toBeLessThan(reloads * LATE_SHARE);
  });
  it.each([1.7, 3.3])("with a key frame every %d s", async (gopSeconds) => {
    const seen = await follow(async (key) => {
      const encoder = encode(key, { fps: 30, gopSeconds });
      await sleep(FOLLOW_MS);
      return encoder;
    });
    expect(seen.violations).toEqual([]);
    expect(seen.segments.source).toBeGreaterThan(3);
  });
  it("[PL12] where a segment was lost on its way", async () => {
    const seen = await follow(
      async (key) => {
        const encoder = encode(key, { fps: 30, gopSeconds: 2 });
        await sleep(FOLLOW_MS);
        return encoder;
      },
      { loses: true },
    );
    expect(seen.violations).toEqual([]);
    expect(seen.gaps).toBe(1);
    expect(seen.segments.audio).toBeGreaterThan(6);
  });
  it("in 29.97 frames/s with audio of 44.1 kHz", async () => {
    const seen = await follow(async (key) => {
      const encoder = encode(key, { fps: 30_000 / 1001, gopSeconds: 2, audioRate: 44_100 });
      await sleep(FOLLOW_MS);
      return encoder;
    });
    expect(seen.violations).toEqual([]);
    expect(seen.endKnownMs).toBeLessThan(2000);
    expect(seen.segments.source).toBeGreaterThan(6);
  });
  it("through an encoder's crash and return", async () => {
    const seen = await follow(async (key) => {
      const first = encode(key, { gopSeconds: 2 });
      await sleep(FOLLOW_MS / 2);
      await first.crash();
      await sleep(1000);
      const second = encode(key, { gopSeconds: 2 });
      await sleep(FOLLOW_MS / 2);
      return second;
    });
    expect(seen.violations).toEqual([]);
    expect(seen.endKnownMs).toBeLessThan(2000);
    expect(seen.discontinuities).toBe(2);
  });
});
