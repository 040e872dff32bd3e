import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { enhancedTags } from "../fakes/media/enhanced-tags.ts";
import { syntheticTags } from "../fakes/media/synthetic-tags.ts";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import type { FlvTag } from "../fakes/rtmp/flv-tags.ts";
import { PacedEncoder } from "../fakes/rtmp/paced-encoder.ts";
import { multivariant, numbersOf, playlist, until } from "./playlists.ts";

let platform: Platform;
const encoders: PacedEncoder[] = [];

beforeAll(async () => {
  platform = await startPlatform();
});
afterEach(() => {
  for (const encoder of encoders.splice(0)) encoder.crash();
});
afterAll(() => platform.stop());

async function publish(key: string, tags: FlvTag[]): Promise<PacedEncoder> {
  const encoder = await PacedEncoder.publish(platform.rtmpPort, key, tags);
  encoders.push(encoder);
  return encoder;
}

/** How many discontinuities a playlist shows. */
function breaksOf(text: string): number {
  return [...text.matchAll(/#EXT-X-DISCONTINUITY\n/g)].length;
}

describe("an encoder that changes in the middle", () => {
  it("[PL5] [PL7] goes on in another epoch of the same broadcast, on the same connection, when it changes its resolution", async () => {
    const { id, stream_key } = await platform.createStream();
    const encoder = await publish(stream_key, [
      ...syntheticTags({ seconds: 5, video: { width: 320, height: 180 } }),
      ...syntheticTags({ seconds: 7, startMs: 5000, video: { width: 640, height: 360 } }),
    ]);
    await expect.poll(() => multivariant(platform, id), until).toContain("RESOLUTION=320x180");
    await expect.poll(() => multivariant(platform, id), until).toContain("RESOLUTION=640x360");
    await expect.poll(async () => numbersOf(await playlist(platform, id))?.last, until).toBeGreaterThan(4);
    const text = await playlist(platform, id);
    expect(breaksOf(text)).toBe(1);
    expect(text).not.toContain("#EXT-X-GAP");
    expect([...text.matchAll(/#EXT-X-MAP/g)]).toHaveLength(2);
    expect(numbersOf(text)?.first).toBe(1);
    expect(breaksOf(await playlist(platform, id, "audio"))).toBe(1);
    expect(encoder.isConnected).toBe(true);
    expect(await platform.getStream(id)).toMatchObject({ status: "active", broadcast: 1 });
  });

  it("goes on when its clock jumps ahead by an hour, and when it begins again at zero", async () => {
    const { id, stream_key } = await platform.createStream();
    const encoder = await publish(stream_key, [
      ...syntheticTags({ seconds: 4 }),
      ...syntheticTags({ seconds: 4, startMs: 3_600_000, metadata: false }),
      ...syntheticTags({ seconds: 5, startMs: 0, metadata: false }),
    ]);
    await expect.poll(async () => breaksOf(await playlist(platform, id)), until).toBe(2);
    await encoder.sent;
    expect(encoder.isConnected).toBe(true);
    await expect.poll(async () => numbersOf(await playlist(platform, id))?.last, until).toBeGreaterThan(4);
    const text = await playlist(platform, id);
    expect(text).not.toContain("#EXT-X-GAP");
    const times = [...text.matchAll(/PROGRAM-DATE-TIME:(.+)/g)].map(([, time]) => Date.parse(time ?? ""));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(await platform.getStream(id)).toMatchObject({ status: "active", broadcast: 1 });
  });

  it("does not change at all where its clock of 32 bits begins anew", async () => {
    const { id, stream_key } = await platform.createStream();
    await publish(stream_key, syntheticTags({ seconds: 8, startMs: 2 ** 32 - 3000 }));
    await expect.poll(async () => numbersOf(await playlist(platform, id))?.last, until).toBeGreaterThan(2);
    expect(breaksOf(await playlist(platform, id))).toBe(0);
  });

  it("is sent away in words when it does so again and again", async () => {
    const { id, stream_key } = await platform.createStream();
    const sizes = Array.from({ length: 14 }, (_, index) => ({ width: 320 + 16 * (index % 2), height: 180 }));
    const encoder = await publish(
      stream_key,
      sizes.flatMap((video, index) => syntheticTags({ seconds: 0.5, startMs: index * 500, video: { ...video, gop: 0.5 } })),
    );
    await encoder.closed;
    expect(encoder.statuses.at(-1)?.description).toMatch(/changed its video format, again and again/);
    await expect.poll(async () => (await platform.getStream(id)).status, until).toBe("reconnecting");
  });
});

describe("other codecs", () => {
  it("HEVC goes through where the profile takes it, and is refused with the remedy where it does not", async () => {
    const tags = await enhancedTags({ codec: "HEVC", seconds: 6 });
    const plain = await platform.createStream();
    const refused = await publish(plain.stream_key, tags);
    await refused.closed;
    expect(refused.statuses.at(-1)?.description).toMatch(
      /^HEVC video is not supported .* set the encoder to H\.264, or .* passthrough_any/,
    );
    expect(await platform.getStream(plain.id)).toMatchObject({ status: "error", end_reason: expect.stringContaining("HEVC") });

    const { id, stream_key } = await platform.createStream({ profile: "passthrough_any" });
    await publish(stream_key, tags);
    await expect.poll(() => multivariant(platform, id), until).toMatch(/CODECS="hvc1\./);
    await expect.poll(async () => numbersOf(await playlist(platform, id))?.last, until).toBeGreaterThan(1);
  });

  it("MP3 becomes AAC beside video that is carried on", async () => {
    const { id, stream_key } = await platform.createStream();
    await publish(stream_key, syntheticTags({ seconds: 8, audio: { codec: "MP3", sampleRate: 44_100, channels: 2 } }));
    await expect.poll(() => multivariant(platform, id), until).toMatch(/CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"/);
    await expect.poll(async () => numbersOf(await playlist(platform, id, "audio"))?.last, until).toBeGreaterThan(1);
    expect(await playlist(platform, id, "audio")).not.toContain("#EXT-X-GAP");
  });
});
