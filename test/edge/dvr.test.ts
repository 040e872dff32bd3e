import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ask, askApi, createStream, liveStreamOf, OriginCalls, TRACKS, textOf } from "./edge.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

async function broadcastOf(settings: Record<string, unknown>, segments: number) {
  const stream = await createStream(settings);
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  await origin.pushSegments(1, segments);
  return { ...stream, origin };
}

/** Media sequence numbers that a playlist lists, with those that it skips. */
function listedNumbers(text: string): number[] {
  const first = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1]);
  const skipped = Number(/SKIPPED-SEGMENTS=(\d+)/.exec(text)?.[1] ?? 0);
  const listed = [...text.matchAll(/\/\d+-(\d+)\.m4s\n/g)].map((match) => Number(match[1]));
  expect(listed[0]).toBe(first + skipped);
  return [...Array.from({ length: skipped }, (_, index) => first + index), ...listed];
}

function row(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function mediaKeys(id: string): Promise<string[]> {
  return env.MEDIA.list({ prefix: `${id}/` }).then(({ objects }) => objects.map((object) => object.key));
}

/** Lets the object's clock, and its alarm, run on. */
async function passTime(id: string, ms: number): Promise<void> {
  vi.spyOn(Date, "now").mockReturnValue(Date.now() + ms);
  await runDurableObjectAlarm(liveStreamOf(id));
}

describe("a window of several minutes", () => {
  it("[PL8] lists what the stream asks for, keeps the tail alone in memory, and survives an eviction", async () => {
    const { id, origin } = await broadcastOf({ dvr_window_seconds: 240 }, 230);
    const address = `/hls/${id}/1/source/index.m3u8`;
    const before = await textOf(await ask(address));
    expect(listedNumbers(before)).toEqual(row(111, 230));
    expect(before).toContain("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:03:40.000Z\n");
    expect(before.match(/EXT-X-MAP/g)).toHaveLength(1);
    const inMemory = await runInDurableObject(liveStreamOf(id), (_object, state) =>
      state.storage.sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM media_segments WHERE rendition = 'source'").one(),
    );
    expect(inMemory.n).toBe(30);
    await evictDurableObject(liveStreamOf(id));
    expect(await textOf(await ask(address))).toBe(before);
    await origin.pushSegments(231, 232);
    expect(listedNumbers(await textOf(await ask(address)))).toEqual(row(113, 232));
    expect((await ask(`/media/${id}/1/source/1-113.m4s`)).status).toBe(200);
  });

  it("[PL11] a delta update of it is as short as one of a minute, and says the same", async () => {
    const { id } = await broadcastOf({ dvr_window_seconds: 240 }, 130);
    const whole = await textOf(await ask(`/hls/${id}/1/source/index.m3u8`));
    const delta = await textOf(await ask(`/hls/${id}/1/source/index.m3u8?_HLS_skip=YES`));
    expect(listedNumbers(delta)).toEqual(listedNumbers(whole));
    expect(delta.length).toBeLessThan(whole.length / 3);
    expect(delta.match(/#EXTINF/g)).toHaveLength(6);
    expect(whole.endsWith(delta.slice(delta.indexOf("#EXTINF")))).toBe(true);
  });

  it("[PL7] keeps the discontinuities of its older part, and counts those that left", async () => {
    const { id, stream_key, origin } = await broadcastOf({ dvr_window_seconds: 120 }, 40);
    await origin.end("connection_lost");
    const again = await OriginCalls.publish(stream_key);
    await again.tracks({ ...TRACKS, started_at: Date.UTC(2026, 0, 1, 0, 5) });
    await again.init("source");
    await again.init("audio");
    await again.pushSegments(41, 85);
    const text = await textOf(await ask(`/hls/${id}/1/source/index.m3u8`));
    expect(listedNumbers(text)).toEqual(row(26, 85));
    expect(text).toMatch(/1-40\.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="[^"]*init-2\.mp4"\n#EXT-X-PROGRAM-DATE-TIME:/);
    expect(text).toContain("#EXT-X-DISCONTINUITY-SEQUENCE:0\n");
    await again.pushSegments(86, 105);
    expect(await textOf(await ask(`/hls/${id}/1/source/index.m3u8`))).toContain("#EXT-X-DISCONTINUITY-SEQUENCE:1\n");
  });

  it("refuses one that is longer than four hours, or shorter than a minute", async () => {
    for (const dvr_window_seconds of [59, 14_401, "60"]) {
      const answer = await askApi("POST", "/api/v1/streams", { title: "Long", dvr_window_seconds });
      expect([answer.status, ((await answer.json()) as { message: string }).message]).toEqual([
        400,
        expect.stringContaining("dvr_window_seconds"),
      ]);
    }
  });
});

describe("media that left the window", () => {
  it("is deleted once no playlist that anybody may hold lists it", async () => {
    const { id } = await broadcastOf({}, 35);
    expect(await mediaKeys(id)).toContain(`${id}/1/source/1-1.m4s`);
    await passTime(id, 61_000);
    const keys = await mediaKeys(id);
    expect(keys).not.toContain(`${id}/1/source/1-1.m4s`);
    expect(keys).not.toContain(`${id}/1/audio/1-1.m4s`);
    expect(keys).toContain(`${id}/1/source/1-6.m4s`);
    expect(keys).toContain(`${id}/1/source/init-1.mp4`);
  });

  it("is kept where the stream is recorded", async () => {
    const { id } = await broadcastOf({ record: true }, 35);
    await passTime(id, 61_000);
    expect(await mediaKeys(id)).toContain(`${id}/1/source/1-1.m4s`);
  });
});

describe("a broadcast that has ended without recording", () => {
  it("[PL13] plays out for its window, is 410 after it, and its media is deleted", async () => {
    const { id, origin } = await broadcastOf({}, 3);
    await origin.end("unpublished");
    expect(await textOf(await ask(`/hls/${id}/1/source/index.m3u8`))).toContain("#EXT-X-ENDLIST");
    await passTime(id, 61_000);
    for (const path of [
      `/hls/${id}/index.m3u8`,
      `/hls/${id}/1/source/index.m3u8`,
      `/hls/${id}/source/index.m3u8`,
      `/dash/${id}/manifest.mpd`,
    ]) {
      await expect.poll(async () => (await ask(path)).status).toBe(410);
      const answer = await ask(path);
      expect([answer.headers.get("Cache-Control"), await answer.json()]).toEqual(["no-store", expect.objectContaining({ error: "gone" })]);
    }
    expect(await mediaKeys(id)).toEqual([]);
  });

  it("plays out though the next one is live already", async () => {
    const { id, stream_key, origin } = await broadcastOf({}, 3);
    await origin.end("unpublished");
    const next = await OriginCalls.publish(stream_key);
    await next.begin();
    await next.pushSegments(1, 2);
    expect(await textOf(await ask(`/hls/${id}/1/source/index.m3u8`))).toMatch(/1-3\.m4s\n#EXT-X-ENDLIST/);
    expect(await textOf(await ask(`/hls/${id}/2/source/index.m3u8`))).not.toContain("ENDLIST");
    await passTime(id, 61_000);
    await expect.poll(async () => (await ask(`/hls/${id}/1/source/index.m3u8`)).status).toBe(410);
    expect((await mediaKeys(id)).every((key) => key.startsWith(`${id}/2/`))).toBe(true);
  });

  it("goes at once with its stream, though viewers see the end", async () => {
    const { id } = await broadcastOf({ record: true }, 2);
    expect((await askApi("DELETE", `/api/v1/streams/${id}`)).status).toBe(204);
    await expect.poll(async () => textOf(await ask(`/hls/${id}/1/source/index.m3u8`))).toContain("#EXT-X-ENDLIST");
    await passTime(id, 61_000);
    await expect.poll(() => mediaKeys(id)).toEqual([]);
    await expect.poll(async () => (await ask(`/hls/${id}/index.m3u8`)).status).toBe(410);
  });
});
