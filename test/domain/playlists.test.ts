import { describe, expect, it } from "vitest";
import { encodeAttributes } from "../../domain/hls/attributes.ts";
import { encodeMediaPlaylist } from "../../domain/hls/media-playlist.ts";
import { encodeMultivariantPlaylist } from "../../domain/hls/multivariant-playlist.ts";

const plain = { discontinuity: false, map: null, programDateTime: null, gap: false };

describe("encodeMediaPlaylist", () => {
  it("[PL6] [PL7] [PL12] [PL13] writes every tag where it belongs", () => {
    const text = encodeMediaPlaylist({
      targetDuration: 2,
      mediaSequence: 41,
      discontinuitySequence: 3,
      ended: true,
      segments: [
        { ...plain, uri: "a.m4s", duration: 2.002, map: "init-1.mp4", programDateTime: Date.UTC(2026, 1, 3, 4, 5, 6, 789) },
        { ...plain, uri: "b.m4s", duration: 1.5, gap: true },
        { ...plain, uri: "c.m4s", duration: 2, discontinuity: true, map: "init-2.mp4", programDateTime: Date.UTC(2026, 1, 3, 4, 6) },
      ],
    });
    expect(text).toBe(`#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:41
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI="init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-02-03T04:05:06.789Z
#EXTINF:2.00200,
a.m4s
#EXT-X-GAP
#EXTINF:1.50000,
b.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init-2.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-02-03T04:06:00.000Z
#EXTINF:2.00000,
c.m4s
#EXT-X-ENDLIST
`);
  });
});

describe("encodeMultivariantPlaylist", () => {
  const video = { averageBandwidth: 1_000_000.4, codecs: ["avc1.64001f"], resolution: { width: 1920, height: 1080 }, frameRate: 29.97 };

  it("[PL14] writes video without audio", () => {
    const text = encodeMultivariantPlaylist({
      independentSegments: false,
      audio: null,
      variants: [{ ...video, uri: "source/index.m3u8", bandwidth: 1_500_000 }],
    });
    expect(text).toBe(`#EXTM3U
#EXT-X-VERSION:8
#EXT-X-STREAM-INF:BANDWIDTH=1500000,AVERAGE-BANDWIDTH=1000001,CODECS="avc1.64001f",RESOLUTION=1920x1080,FRAME-RATE=29.970
source/index.m3u8
`);
  });

  it("[PL14] writes audio alone as a variant of its own", () => {
    const text = encodeMultivariantPlaylist({
      independentSegments: true,
      audio: null,
      variants: [
        {
          uri: "audio/index.m3u8",
          bandwidth: 128_000,
          averageBandwidth: 128_000,
          codecs: ["mp4a.40.2"],
          resolution: null,
          frameRate: null,
        },
      ],
    });
    expect(text).toBe(`#EXTM3U
#EXT-X-VERSION:8
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=128000,AVERAGE-BANDWIDTH=128000,CODECS="mp4a.40.2"
audio/index.m3u8
`);
  });
});

it("an attribute cannot break out of its quotes or its line", () => {
  expect(encodeAttributes({ NAME: { quoted: 'a"b\nc' }, LEFT: undefined, N: 1 })).toBe(`NAME="a'b'c",N=1`);
});
