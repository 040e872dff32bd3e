import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Conformance, StrictPlayer } from "../conformance/strict-player.ts";
import { type Encoder, type EncoderOptions, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";

/** Longer than what a delta update may never skip, so that there is something to skip. */
const FOLLOW_MS = 17_000;

let platform: Platform;
const encoders: Encoder[] = [];

beforeAll(async () => {
  platform = await startPlatform();
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

/** Follows a new stream while `encoding` lasts, to the end of its playlists. */
async function follow(encoding: (key: string) => Promise<Encoder>): Promise<Conformance & { endKnownMs: number }> {
  const { id, stream_key } = await platform.createStream();
  const player = new StrictPlayer(`${platform.site}/hls/${id}/index.m3u8`, AbortSignal.timeout(30_000));
  const followed = player.follow();
  followed.catch(() => undefined);
  const last = await encoding(stream_key);
  await last.stop();
  const stoppedAt = performance.now();
  const seen = await followed;
  return { ...seen, endKnownMs: seen.endedAt - stoppedAt };
}

// The streams run side by side: each is little work, and takes its time.
describe.concurrent("[PL1] to [PL15], [BR3] to [BR8], [CM1] and [CM2]: the strictest player finds nothing to complain of", () => {
  it("in 30 frames/s with audio of 48 kHz", async ({ expect }) => {
    const seen = await follow(async (key) => {
      const encoder = encode(key, { fps: 30, gopSeconds: 2 });
      await sleep(FOLLOW_MS);
      return encoder;
    });
    expect(seen.violations).toEqual([]);
    expect(seen.endKnownMs).toBeLessThan(2000);
    expect(seen.segments.source).toBeGreaterThan(6);
    expect(seen.times.source?.deltas).toBeGreaterThan(0);
  });
  it("in 29.97 frames/s with audio of 44.1 kHz", async ({ expect }) => {
    const seen = await follow(async (key) => {
      const encoder = encode(key, { fps: 30_000 / 1001, gopSeconds: 2, audioRate: 44_100 });
      await sleep(FOLLOW_MS);
      return encoder;
    });
    expect(seen.violations).toEqual([]);
    expect(seen.endKnownMs).toBeLessThan(2000);
    expect(seen.segments.source).toBeGreaterThan(6);
  });
  it("through an encoder's crash and return", async ({ expect }) => {
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
