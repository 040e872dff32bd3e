import { listDurableObjectIds, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { ask, askApi, bytesOf, createStream, liveStreamOf, OriginCalls, TRACKS, textOf } from "./edge.ts";

async function liveStream(segments: number) {
  const stream = await createStream();
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  await origin.pushSegments(1, segments);
  return { ...stream, origin };
}

/** A playlist without what is there for low latency. */
function segmentsOf(text: string): string {
  return text.replace(/^#EXT-X-(PART|PRELOAD-HINT|RENDITION-REPORT):.*\n/gm, "");
}

describe("playlists", () => {
  it("[PL2] [PL8] [PL9] [PL10] are whole: media playlist of a live broadcast", async () => {
    const { id } = await liveStream(4);
    const answer = await ask(`/hls/${id}/source/index.m3u8`);
    expect(answer.headers.get("Content-Type")).toBe("application/vnd.apple.mpegurl");
    expect(answer.headers.get("Cache-Control")).toBe("public, max-age=1");
    expect(answer.headers.get("Access-Control-Allow-Origin")).toBe("*");
    const media = `../../../media/${id}/1/source`;
    const parts = (msn: number) =>
      [0, 1, 2, 3]
        .map((part) => `#EXT-X-PART:DURATION=0.50000,URI="${media}/1-${msn}.${part}.m4s"${part === 0 ? ",INDEPENDENT=YES" : ""}\n`)
        .join("");
    expect(await textOf(answer)).toBe(`#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.536,HOLD-BACK=6.000,CAN-SKIP-UNTIL=12.000
#EXT-X-PART-INF:PART-TARGET=0.50000
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="${media}/init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:2.00000,
${media}/1-1.m4s
${parts(2)}#EXTINF:2.00000,
${media}/1-2.m4s
${parts(3)}#EXTINF:2.00000,
${media}/1-3.m4s
${parts(4)}#EXTINF:2.00000,
${media}/1-4.m4s
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="${media}/1-5.0.m4s"
#EXT-X-RENDITION-REPORT:URI="../audio/index.m3u8",LAST-MSN=4,LAST-PART=3
`);
  });

  it("[PL14] are whole: multivariant playlist, with measured bandwidth", async () => {
    const { id } = await liveStream(2);
    const text = await textOf(await ask(`/hls/${id}/index.m3u8`));
    // 256 bytes in 2 s are 1024 bit/s of video; audio declares 128000 and has 1024 too.
    expect(text).toBe(`#EXTM3U
#EXT-X-VERSION:8
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="1/audio/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=129024,AVERAGE-BANDWIDTH=2048,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO="audio"
1/source/index.m3u8
`);
  });

  it("[PL8] keep a window of 60 s, and its media stays fetchable after it has left", async () => {
    const { id } = await liveStream(35);
    const text = await textOf(await ask(`/hls/${id}/source/index.m3u8`));
    expect(text).toContain("#EXT-X-MEDIA-SEQUENCE:6\n");
    expect(text.match(/#EXTINF/g)).toHaveLength(30);
    expect((await ask(`/media/${id}/1/source/1-5.m4s`)).status).toBe(200);
    const audio = await textOf(await ask(`/hls/${id}/audio/index.m3u8`));
    expect(audio).toContain("#EXT-X-MEDIA-SEQUENCE:6\n");
  });

  it("are 404 before anything can be played, and for renditions that are none", async () => {
    const { id, stream_key } = await createStream();
    const before = await ask(`/hls/${id}/index.m3u8`);
    expect(before.status).toBe(404);
    expect(before.headers.get("Cache-Control")).toBe("no-store");
    expect(before.headers.get("Access-Control-Allow-Origin")).toBe("*");
    expect(await before.json()).toMatchObject({ error: "not_started" });
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.segment("source", 1);
    expect((await ask(`/hls/${id}/index.m3u8`)).status).toBe(404);
    await origin.segment("audio", 1);
    expect((await ask(`/hls/${id}/index.m3u8`)).status).toBe(200);
    expect((await ask(`/hls/${id}/1080p/index.m3u8`)).status).toBe(404);
  });

  it("[PL4] promise no independent segments once one began without an IDR", async () => {
    const { id, origin } = await liveStream(1);
    expect(await textOf(await ask(`/hls/${id}/index.m3u8`))).toContain("#EXT-X-INDEPENDENT-SEGMENTS");
    await origin.call("PUT", "/source/2/0?duration=0.5&independent=0", bytesOf("source 2.0"));
    await origin.segment("source", 2, bytesOf("source 2.0"));
    expect(await textOf(await ask(`/hls/${id}/index.m3u8`))).not.toContain("#EXT-X-INDEPENDENT-SEGMENTS");
  });

  it("[PL13] close with ENDLIST when the encoder stops", async () => {
    const { id, origin } = await liveStream(2);
    await origin.end("unpublished");
    const answer = await ask(`/hls/${id}/1/source/index.m3u8`);
    expect(answer.headers.get("Cache-Control")).toBe("public, max-age=60");
    const text = await textOf(answer);
    expect(text.endsWith("1-2.m4s\n#EXT-X-ENDLIST\n")).toBe(true);
    expect(text).not.toMatch(/#EXT-X-(PART|PRELOAD-HINT):/);
  });

  it("[PL7] go on after a reconnect with a discontinuity, and count those that left the window", async () => {
    const { id, stream_key, origin } = await liveStream(3);
    await origin.end("connection_lost");
    const waiting = await textOf(await ask(`/hls/${id}/source/index.m3u8`));
    expect(waiting).not.toContain("ENDLIST");
    const again = await OriginCalls.publish(stream_key);
    expect(again.publication).toMatchObject({ broadcast: 1, epoch: 2, next_msn: 4 });
    expect(again.publication.pdt_floor).toBe(TRACKS.started_at + 6000);
    await again.tracks({ ...TRACKS, started_at: TRACKS.started_at + 60_000 });
    await again.init("source");
    await again.init("audio");
    await again.pushSegments(4, 5);
    const text = await textOf(await ask(`/hls/${id}/source/index.m3u8`));
    expect(segmentsOf(text).startsWith(segmentsOf(waiting))).toBe(true);
    expect(segmentsOf(text).slice(segmentsOf(waiting).length)).toMatch(
      /^#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="[^"]*\/init-2\.mp4"\n#EXT-X-PROGRAM-DATE-TIME:.*\n#EXTINF:2\.00000,\n.*\/2-4\.m4s\n#EXTINF/,
    );
    await again.pushSegments(6, 40);
    const later = await textOf(await ask(`/hls/${id}/source/index.m3u8`));
    expect(later).toContain("#EXT-X-DISCONTINUITY-SEQUENCE:1\n");
    expect(later).not.toContain("#EXT-X-DISCONTINUITY\n");
  });

  it("[PL1] keep the declared durations over a reconnect", async () => {
    const { stream_key, origin } = await liveStream(1);
    await origin.end("connection_lost");
    const again = await OriginCalls.publish(stream_key);
    const other = await again.tracks({ ...TRACKS, target_duration: 6 });
    expect(other.status).toBe(409);
    expect(await other.json()).toMatchObject({ error: "declared_differs" });
  });

  it("show nothing of the old broadcast once a new one is live", async () => {
    const { id, stream_key, origin } = await liveStream(2);
    await origin.end("unpublished");
    const next = await OriginCalls.publish(stream_key);
    expect(next.publication).toMatchObject({ broadcast: 2, next_msn: 1, declared: null });
    expect(await textOf(await ask(`/hls/${id}/source/index.m3u8`))).toContain("ENDLIST");
    await next.heartbeat();
    expect((await ask(`/hls/${id}/source/index.m3u8`)).status).toBe(404);
    await next.begin();
    await next.pushSegments(1, 1);
    const text = await textOf(await ask(`/hls/${id}/source/index.m3u8`));
    expect(text).toContain(`/media/${id}/2/source/2-1.m4s`);
    expect(text).not.toContain(`/media/${id}/1/`);
  });
});

describe("a broadcast that is lost before its tracks", () => {
  it("shows nothing of the one before it as live", async () => {
    const { id, stream_key, origin } = await liveStream(2);
    await origin.end("unpublished");
    const next = await OriginCalls.publish(stream_key);
    await next.heartbeat();
    await next.end("connection_lost");
    expect((await ask(`/hls/${id}/source/index.m3u8`)).status).toBe(404);
  });
});

describe("media", () => {
  it("[PL15] has its type, is immutable, and is cut to ranges", async () => {
    const { id } = await liveStream(1);
    const path = `/media/${id}/1/source/1-1.m4s`;
    const whole = await ask(path);
    expect(whole.headers.get("Content-Type")).toBe("video/mp4");
    expect(whole.headers.get("Cache-Control")).toBe("public, max-age=31536000, immutable");
    expect((await ask(`/media/${id}/1/audio/init-1.mp4`)).headers.get("Content-Type")).toBe("audio/mp4");
    const bytes = await textOf(whole);
    for (const [range, status, expected] of [
      ["bytes=0-9", 206, bytes.slice(0, 10)],
      ["bytes=250-", 206, bytes.slice(250)],
      ["bytes=-6", 206, bytes.slice(-6)],
      ["bytes=256-", 416, ""],
      ["bytes=9-3", 200, bytes],
      ["lines=1-2", 200, bytes],
    ] as const) {
      const cut = await ask(path, { headers: { Range: range } });
      expect([range, cut.status, await textOf(cut)]).toEqual([range, status, expected]);
    }
  });

  it("is 404 where it never was, and a made-up id creates no object", async () => {
    const { id } = await liveStream(1);
    const before = (await listDurableObjectIds(env.LIVE)).length;
    for (const path of [
      `/media/${id}/1/source/1-9.m4s`,
      `/media/${id}/1/source/1-1.9.m4s`,
      `/media/${id}/1/source/..%2f1-1.m4s`,
      `/media/${id}/7/source/init-1.mp4`,
    ]) {
      const answer = await ask(path);
      expect([path, answer.status, answer.headers.get("Cache-Control")]).toEqual([path, 404, "no-store"]);
      await answer.arrayBuffer();
    }
    const madeUp = "0123456789abcdefghjkmnpq";
    for (const path of [`/hls/${madeUp}/index.m3u8`, `/media/${madeUp}/1/source/1-1.m4s`, `/hls/x/index.m3u8`])
      expect((await ask(path)).status).toBe(404);
    expect((await listDurableObjectIds(env.LIVE)).length).toBe(before);
  });
});

describe("time", () => {
  it("a lost lease opens the reconnect window, and the end of the window completes the broadcast", async () => {
    const { id } = await liveStream(2);
    const object = liveStreamOf(id);
    const at = async (ms: number) => {
      vi.useFakeTimers({ toFake: ["Date"], now: started + ms });
      try {
        await runDurableObjectAlarm(object);
        return (await object.facts()).status;
      } finally {
        vi.useRealTimers();
      }
    };
    const started = Date.now();
    expect(await at(0)).toBe("active");
    expect(await at(6_000)).toBe("reconnecting");
    expect(await at(60_000)).toBe("reconnecting");
    expect(await at(66_500)).toBe("completed");
    await expect.poll(async () => textOf(await ask(`/hls/${id}/source/index.m3u8`))).toContain("#EXT-X-ENDLIST");
    await expect
      .poll(async () => ((await (await askApi("GET", `/api/v1/streams/${id}`)).json()) as { status: string }).status)
      .toBe("completed");
  });

  it("a holder that comes back before anybody else goes on in its epoch", async () => {
    const { id, origin } = await liveStream(1);
    const object = liveStreamOf(id);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 6_000 });
    try {
      await runDurableObjectAlarm(object);
      expect((await object.facts()).status).toBe("reconnecting");
      await origin.pushSegments(2, 2);
      expect((await object.facts()).status).toBe("active");
    } finally {
      vi.useRealTimers();
    }
    expect(await textOf(await ask(`/hls/${id}/source/index.m3u8`))).not.toContain("DISCONTINUITY\n");
  });
});
