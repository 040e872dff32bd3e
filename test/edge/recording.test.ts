import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ask, createStream, liveStreamOf, OriginCalls, TRACKS, textOf } from "./edge.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

async function recorded(segments: number) {
  const stream = await createStream({ record: true });
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  await origin.pushSegments(1, segments);
  await origin.end("unpublished");
  await expect.poll(async () => env.MEDIA.head(`${stream.id}/index.m3u8`)).not.toBeNull();
  return stream;
}

describe("a recording", () => {
  it("[PL13] plays from the broadcast's first segment at the stream's own address", async () => {
    const { id } = await recorded(40);
    const multivariant = await ask(`/hls/${id}/index.m3u8`);
    expect([multivariant.status, multivariant.headers.get("Cache-Control")]).toEqual([200, "public, max-age=1"]);
    expect(multivariant.headers.get("Cache-Status")).toContain("detail=r2");
    const text = await textOf(multivariant);
    expect(text).toContain("\n1/source/recording.m3u8\n");
    expect(text).toContain('URI="1/audio/recording.m3u8"');
    const playlist = await textOf(await ask(`/hls/${id}/1/source/recording.m3u8`));
    expect(playlist).toMatch(/^#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:1\n/);
    expect(playlist.match(/#EXTINF/g)).toHaveLength(40);
    expect(playlist.endsWith("1-40.m4s\n#EXT-X-ENDLIST\n")).toBe(true);
    const [first = ""] = /\.\.\/.*1-1\.m4s/.exec(playlist) ?? [];
    expect((await ask(new URL(first, `https://x/hls/${id}/1/source/recording.m3u8`).pathname)).status).toBe(200);
    const own = await textOf(await ask(`/hls/${id}/1/index.m3u8`));
    expect(own).toContain("\nsource/recording.m3u8\n");
  });

  it("[DA5] has a static manifest", async () => {
    const { id } = await recorded(3);
    const answer = await ask(`/dash/${id}/manifest.mpd`);
    expect([answer.status, answer.headers.get("Content-Type")]).toEqual([200, "application/dash+xml"]);
    expect(await textOf(answer)).toContain('type="static"');
  });

  it("plays without its object", async () => {
    const { id } = await recorded(3);
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 61_000);
    await runDurableObjectAlarm(liveStreamOf(id));
    await expect.poll(() => rowsOf(id)).toBe(0);
    vi.restoreAllMocks();
    const calls = vi.spyOn(env.LIVE, "get");
    for (const path of ["index.m3u8", "1/index.m3u8", "1/source/recording.m3u8", "1/audio/recording.m3u8"]) {
      const answer = await ask(`/hls/${id}/${path}`);
      expect([path, answer.status, answer.headers.get("Cache-Status")?.endsWith("detail=r2")]).toEqual([path, 200, true]);
    }
    expect((await ask(`/dash/${id}/manifest.mpd`)).headers.get("Cache-Status")).toContain("detail=r2");
    expect((await ask(`/media/${id}/1/source/1-1.m4s`)).status).toBe(200);
    expect(calls).not.toHaveBeenCalled();
    // A player that followed the live playlist, and comes back late, gets the whole.
    expect(await textOf(await ask(`/hls/${id}/1/source/index.m3u8?_HLS_msn=4`))).toContain("#EXT-X-PLAYLIST-TYPE:VOD");
  });

  it("gives way to the next broadcast, and stays at its own address", async () => {
    const { id, stream_key } = await recorded(3);
    const next = await OriginCalls.publish(stream_key);
    await next.begin();
    await next.pushSegments(1, 2);
    await expect.poll(async () => textOf(await ask(`/hls/${id}/index.m3u8`))).toContain("2/source/index.m3u8");
    expect(await textOf(await ask(`/hls/${id}/1/index.m3u8`))).toContain("source/recording.m3u8");
    await next.end("unpublished");
    await expect.poll(async () => textOf(await ask(`/hls/${id}/index.m3u8`))).toContain("2/source/recording.m3u8");
  });

  it("[PL7] [PL12] keeps its discontinuities and gaps", async () => {
    const stream = await createStream({ record: true });
    const origin = await OriginCalls.publish(stream.stream_key);
    await origin.begin();
    await origin.pushSegments(1, 2);
    await origin.end("connection_lost");
    const again = await OriginCalls.publish(stream.stream_key);
    await again.tracks({ ...TRACKS, started_at: TRACKS.started_at + 60_000 });
    await again.init("source");
    await again.init("audio");
    await again.pushSegments(3, 4);
    await again.call("PUT", `/source/5?duration=2&pdt=${TRACKS.started_at + 66_000}&gap=1`, new Uint8Array());
    await again.end("unpublished");
    await expect.poll(async () => env.MEDIA.head(`${stream.id}/index.m3u8`)).not.toBeNull();
    const text = await textOf(await ask(`/hls/${stream.id}/1/source/recording.m3u8`));
    expect(text).toMatch(/1-2\.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="[^"]*init-2\.mp4"\n/);
    expect(text).toMatch(/#EXT-X-GAP\n#EXTINF:2\.00000,\n.*2-5\.m4s\n#EXT-X-ENDLIST/);
  });

  it("is written by the object's next life where the first one ended too early", async () => {
    const stream = await createStream({ record: true });
    const origin = await OriginCalls.publish(stream.stream_key);
    await origin.begin();
    await origin.pushSegments(1, 2);
    const put = vi.spyOn(env.MEDIA, "put").mockRejectedValue(new Error("R2 is away"));
    await origin.end("unpublished");
    expect(await textOf(await ask(`/hls/${stream.id}/1/source/index.m3u8`))).toContain("ENDLIST");
    put.mockRestore();
    await evictDurableObject(liveStreamOf(stream.id));
    await expect.poll(async () => textOf(await ask(`/hls/${stream.id}/index.m3u8`)), { timeout: 10_000 }).toContain("recording.m3u8");
  });
});

/** How much the object still keeps of its broadcasts. */
function rowsOf(id: string): Promise<number> {
  return runInDurableObject(
    liveStreamOf(id),
    (_object, state) => state.storage.sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM media_facts").one().n,
  );
}
