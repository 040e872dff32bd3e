import { describe, expect, it } from "vitest";
import { encodeAttributes } from "../../domain/hls/attributes.ts";
import { countSkippable, encodeMediaPlaylist } from "../../domain/hls/media-playlist.ts";
import { encodeMultivariantPlaylist } from "../../domain/hls/multivariant-playlist.ts";

const plain = { discontinuity: false, map: null, programDateTime: null, gap: false, parts: [] };
const serverControl = { holdBack: 6, partHoldBack: 1.5, canSkipUntil: 12 };
const standard = { partTarget: null, omitted: 0, open: null, preloadHint: null, renditionReports: [] };

describe("encodeMediaPlaylist", () => {
  it("[PL6] [PL7] [PL12] [PL13] writes every tag where it belongs", () => {
    const text = encodeMediaPlaylist({
      ...standard,
      serverControl: { ...serverControl, partHoldBack: null },
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
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6.000,CAN-SKIP-UNTIL=12.000
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

describe("low latency", () => {
  const live = {
    targetDuration: 2,
    partTarget: 0.5,
    serverControl,
    mediaSequence: 7,
    omitted: 0,
    discontinuitySequence: 0,
    segments: Array.from({ length: 10 }, (_, index) => ({
      ...plain,
      uri: `${7 + index}.m4s`,
      duration: 2,
      map: index === 0 ? "init-1.mp4" : null,
      programDateTime: index === 0 ? 0 : null,
      parts: index === 9 ? [{ uri: "16.0.m4s", duration: 2, independent: true }] : [],
    })),
    open: { ...plain, parts: [{ uri: "17.0.m4s", duration: 0.5, independent: false }] },
    preloadHint: "17.1.m4s",
    renditionReports: [
      { uri: "../audio/index.m3u8", lastMsn: 17, lastPart: 0 },
      { uri: "../720p/index.m3u8", lastMsn: 16, lastPart: null },
    ],
    ended: false,
  };

  it("[PL2] [PL9] [PL10] [PL11] writes a delta update: what ends before the skip boundary is left out", () => {
    expect(countSkippable(live)).toBe(4);
    expect(encodeMediaPlaylist(live, 4)).toBe(`#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.500,HOLD-BACK=6.000,CAN-SKIP-UNTIL=12.000
#EXT-X-PART-INF:PART-TARGET=0.50000
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-SKIP:SKIPPED-SEGMENTS=4
#EXTINF:2.00000,
11.m4s
#EXTINF:2.00000,
12.m4s
#EXTINF:2.00000,
13.m4s
#EXTINF:2.00000,
14.m4s
#EXTINF:2.00000,
15.m4s
#EXT-X-PART:DURATION=2.00000,URI="16.0.m4s",INDEPENDENT=YES
#EXTINF:2.00000,
16.m4s
#EXT-X-PART:DURATION=0.50000,URI="17.0.m4s"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="17.1.m4s"
#EXT-X-RENDITION-REPORT:URI="../audio/index.m3u8",LAST-MSN=17,LAST-PART=0
#EXT-X-RENDITION-REPORT:URI="../720p/index.m3u8",LAST-MSN=16
`);
  });

  it("[PL11] counts the segments that were not even read, so that a window of hours costs no more than one of a minute", () => {
    const text = encodeMediaPlaylist({ ...live, mediaSequence: 7 - 5, omitted: 5 }, 4);
    expect(text).toContain(
      "#EXT-X-MEDIA-SEQUENCE:2\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-SKIP:SKIPPED-SEGMENTS=9\n#EXTINF:2.00000,\n11.m4s\n",
    );
  });

  it("[PL13] writes a recording without anything that only a live stream has", () => {
    const recording = { ...live, ...standard, serverControl: null, ended: true, segments: live.segments.slice(0, 1) };
    expect(encodeMediaPlaylist(recording)).toBe(`#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:2
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z
#EXTINF:2.00000,
7.m4s
#EXT-X-ENDLIST
`);
  });

  it("[PL11] leaves nothing out of a window that is not longer than the skip boundary", () => {
    expect(countSkippable({ ...live, segments: live.segments.slice(4) })).toBe(0);
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
