import { beforeEach, describe, expect, it } from "vitest";
import { assertContiguous, join, type TestViewer } from "./audience.ts";
import { ask, createStream, LADDER, OriginCalls, SHORT_LADDER, textOf } from "./edge.ts";

const ALL = ["1080p", "720p", "480p", "audio"];
const LOW = ALL.slice(1);

let id: string;
let viewer: TestViewer;
let origin: OriginCalls;

beforeEach(async () => {
  const stream = await createStream({ profile: "ladder" });
  id = stream.id;
  viewer = await join(id, "viewer-0001");
  origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin(LADDER);
});

async function read(path: string): Promise<string> {
  const answer = await ask(path);
  expect(answer.status).toBe(200);
  return textOf(answer);
}

const multivariant = () => read(`/hls/${id}/index.m3u8`);
const playlist = (rendition: string) => read(`/hls/${id}/1/${rendition}/index.m3u8`);
const manifest = () => read(`/dash/${id}/manifest.mpd`);
const variantsOf = (text: string) => [...text.matchAll(/^1\/(.*)\/index\.m3u8$/gm)].map((match) => match[1]);
const changes = () =>
  viewer.frames.flatMap((frame) => (frame.event === "quality_changed" ? [[frame.data.reason, frame.data.qualities]] : []));

/** What stands before each segment of a playlist: which of them are gaps, and where a discontinuity is. */
function shapeOf(text: string): { discontinuities: number[]; gaps: number[]; sequence: number } {
  let msn = Number(/MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1]);
  const shape = { discontinuities: [] as number[], gaps: [] as number[], sequence: Number(/DISCONTINUITY-SEQUENCE:(\d+)/.exec(text)?.[1]) };
  for (const line of text.split("\n")) {
    if (line === "#EXT-X-DISCONTINUITY") shape.discontinuities.push(msn);
    if (line === "#EXT-X-GAP") shape.gaps.push(msn);
    if (line.startsWith("#EXTINF")) msn += 1;
  }
  return shape;
}

/** The video representations of each period, by its id. */
function periodsOf(mpd: string): Record<string, string[]> {
  const periods = [...mpd.matchAll(/<Period id="([^"]+)"[\s\S]*?<\/Period>/g)];
  return Object.fromEntries(
    periods.map(([text, period]) => {
      const video = /<AdaptationSet id="1" contentType="video"[\s\S]*?<\/AdaptationSet>/.exec(text)?.[0] ?? "";
      return [period, [...video.matchAll(/<Representation id="([^"]+)"/g)].map((match) => match[1] ?? "")];
    }),
  );
}

describe("a ladder", () => {
  it("[PL14] is offered with what each rung is, the one to start with first, then from the best down", async () => {
    await origin.pushSegments(1, 1, ALL);
    expect(await multivariant()).toBe(`#EXTM3U
#EXT-X-VERSION:8
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="1/audio/index.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=2268000,AVERAGE-BANDWIDTH=2048,CODECS="avc1.64001e,mp4a.40.2",RESOLUTION=854x480,FRAME-RATE=30.000,AUDIO="audio"
1/480p/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=8688000,AVERAGE-BANDWIDTH=2048,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=30.000,AUDIO="audio"
1/1080p/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=5478000,AVERAGE-BANDWIDTH=2048,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO="audio"
1/720p/index.m3u8
`);
    expect(changes()).toEqual([["broadcast_started", ["1080p", "720p", "480p"]]]);
  });

  it("[PL10] reports in each rendition how far all the others are, also one that is late", async () => {
    await origin.pushSegments(1, 2, ALL);
    await origin.pushSegments(3, 3, ["1080p", "480p", "audio"]);
    await origin.part("480p", 4, 0);
    const reportsIn = async (rendition: string) =>
      [...(await playlist(rendition)).matchAll(/URI="\.\.\/(\w+)\/index\.m3u8",LAST-MSN=(\d+),LAST-PART=(\d+)/g)].map(([, ...all]) =>
        all.join(" "),
      );
    expect(await reportsIn("audio")).toEqual(["1080p 3 3", "720p 2 3", "480p 4 0"]);
    expect(await reportsIn("720p")).toEqual(["1080p 3 3", "480p 4 0", "audio 3 3"]);
    expect(shapeOf(await playlist("720p"))).toEqual({ discontinuities: [], gaps: [], sequence: 0 });
    await origin.pushSegments(3, 3, ["720p"]);
    expect(await reportsIn("audio")).toEqual(["1080p 3 3", "720p 3 3", "480p 4 0"]);
  });

  it("waits for the first segment of every rung, but not for ever", async () => {
    await origin.pushSegments(1, 1, LOW);
    expect((await ask(`/hls/${id}/index.m3u8`)).status).toBe(404);
    await origin.pushSegments(2, 2, LOW);
    expect(variantsOf(await multivariant())).toEqual(["480p", "720p"]);
    await origin.pushSegments(1, 2, ["1080p"]);
    expect(variantsOf(await multivariant())).toEqual(["480p", "1080p", "720p"]);
    await expect.poll(() => changes().at(-1)).toEqual(["broadcast_started", ["1080p", "720p", "480p"]]);
  });

  it("[DA1] [DA2] is one video adaptation set of three representations in DASH", async () => {
    await origin.pushSegments(1, 3, ALL);
    const mpd = await manifest();
    expect(periodsOf(mpd)).toEqual({ 1: ["1080p", "720p", "480p"] });
    expect(mpd).toContain('<AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">');
    for (const [rung, size] of [
      ["1080p", 'bandwidth="8560000" width="1920" height="1080"'],
      ["720p", 'bandwidth="5350000" width="1280" height="720"'],
      ["480p", 'bandwidth="2140000" width="854" height="480"'],
    ]) {
      expect(mpd).toMatch(new RegExp(`<Representation id="${rung}" codecs="avc1\\.[0-9a-f]{6}" ${size} frameRate="30">`));
      expect((await ask(`/media/${id}/1/${rung}/1-3.m4s`)).status).toBe(200);
    }
  });
});

describe("a rung that is dropped", () => {
  it("[PL7] [PL12] [DA3] is gaps and offered no more, nobody hears of an end, and it is back with its first segment", async () => {
    await origin.pushSegments(1, 2, ALL);
    await origin.part("1080p", 3, 0);
    const second = await origin.next();
    expect(second.publication).toMatchObject({ broadcast: 1, epoch: 2, next_msn: 4, profile: "ladder" });
    expect(second.publication.declared?.part_targets).toEqual({ "1080p": 0.5, "720p": 0.5, "480p": 0.5, audio: 0.512 });
    expect((await origin.part("1080p", 3, 1)).status).toBe(409);
    await second.begin(SHORT_LADDER);
    expect(variantsOf(await multivariant())).toEqual(["480p", "720p"]);
    await second.pushSegments(4, 5, LOW);

    const third = await second.next();
    expect(third.publication).toMatchObject({ epoch: 3, next_msn: 6 });
    await third.begin({ ...LADDER, reason: "recovered" });
    await third.pushSegments(6, 6, LOW);
    expect(variantsOf(await multivariant())).toEqual(["480p", "720p"]);
    await third.pushSegments(6, 7, ["1080p"]);
    await third.pushSegments(7, 7, LOW);
    expect(variantsOf(await multivariant())).toEqual(["480p", "1080p", "720p"]);

    await expect.poll(async () => shapeOf(await playlist("1080p"))).toEqual({ discontinuities: [4, 6], gaps: [4, 5], sequence: 0 });
    for (const rendition of LOW) {
      // What the first epoch left open is a gap where nothing of it came.
      expect(shapeOf(await playlist(rendition))).toEqual({ discontinuities: [4, 6], gaps: [3], sequence: 0 });
    }
    expect(await textOf(await ask(`/media/${id}/1/1080p/1-3.m4s`))).toContain("1080p 3.0");
    expect(periodsOf(await manifest())).toMatchObject({ 1: ["1080p", "720p", "480p"], 2: ["720p", "480p"], 3: ["1080p", "720p", "480p"] });

    await expect.poll(changes).toEqual([
      ["broadcast_started", ["1080p", "720p", "480p"]],
      ["overload", ["720p", "480p"]],
      ["recovered", ["1080p", "720p", "480p"]],
    ]);
    expect(viewer.frames.filter(({ event }) => event.startsWith("stream_")).map(({ event }) => event)).toEqual(["stream_started"]);
    assertContiguous(viewer.frames);
  });

  it("[BR4] [PL12] answers who waits for its next part with the gap, as soon as there is one", async () => {
    await origin.pushSegments(1, 2, ALL);
    const held = ask(`/hls/${id}/1/1080p/index.m3u8?_HLS_msn=3&_HLS_part=0`);
    const second = await origin.next();
    await second.begin(SHORT_LADDER);
    await second.pushSegments(3, 3, LOW);
    expect(await textOf(await held)).toMatch(/#EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:.*\n#EXT-X-GAP\n/);
  });
});

describe("a further epoch", () => {
  it("is the same broadcast before the first frames, too, and the same epoch where it is asked for again", async () => {
    const { stream_key } = await createStream();
    const first = await OriginCalls.publish(stream_key);
    const second = await first.next();
    expect(second.publication).toMatchObject({ broadcast: 1, epoch: 2, next_msn: 1, declared: null });
    expect((await first.tracks()).status).toBe(409);
    const again = await first.next();
    expect({ ...again.publication, now: 0 }).toEqual({ ...second.publication, now: 0 });
    await second.begin();
    await second.pushSegments(1, 1);
    // An answer that was lost is asked for once more, and changes nothing.
    expect((await first.next()).publication).toMatchObject({ epoch: 2, lease: second.publication.lease, next_msn: 1 });
    expect(await read(`/hls/${second.publication.stream_id}/source/index.m3u8`)).toContain("2-1.m4s");
    expect((await second.end("unpublished")).status).toBe(204);
  });

  it("is refused without the lease, and to another origin", async () => {
    const thief = new OriginCalls({ ...origin.publication, lease: "1.stolen" });
    expect((await thief.call("POST", "/next", { origin_id: "origin-1" })).status).toBe(409);
    expect((await origin.call("POST", "/next", { origin_id: "origin-2" })).status).toBe(409);
    expect((await origin.call("POST", "/next", {})).status).toBe(400);
    expect((await origin.heartbeat()).status).toBe(200);
  });
});
