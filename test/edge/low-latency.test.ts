import { abortAllDurableObjects } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { ask, bytesOf, createStream, OriginCalls, textOf } from "./edge.ts";

let id: string;
let key: string;
let origin: OriginCalls;

beforeEach(async () => {
  const stream = await createStream();
  id = stream.id;
  key = stream.stream_key;
  origin = await OriginCalls.publish(key);
  await origin.begin();
  await origin.pushSegments(1, 3);
});

function playlist(query: string, rendition = "source"): Promise<Response> {
  return ask(`/hls/${id}/1/${rendition}/index.m3u8${query}`);
}

/** Whether an answer is held: nothing of it comes in a while. */
async function isHeld(answer: Promise<Response>): Promise<boolean> {
  const first = await Promise.race([answer.then(() => "answered"), new Promise((resolve) => setTimeout(() => resolve("held"), 300))]);
  return first === "held";
}

describe("blocking reload", () => {
  it("holds a request for the next part until it is there, and answers with it", async () => {
    const held = playlist("?_HLS_msn=4&_HLS_part=0");
    expect(await isHeld(held)).toBe(true);
    await origin.part("source", 4, 0);
    const answer = await held;
    expect(answer.headers.get("Cache-Control")).toBe("public, max-age=60");
    const text = await textOf(answer);
    expect(text).toContain('1-4.0.m4s",INDEPENDENT=YES\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=');
    expect(text).toContain("/1-4.1.m4s");
  });

  it("[BR1] [BR2] refuses what is malformed or far ahead at once", async () => {
    for (const query of ["?_HLS_part=1", "?_HLS_msn=x", "?_HLS_msn=6", "?_HLS_msn=4&_HLS_part=7", "?_HLS_msn=-1", "?_HLS_skip=maybe"]) {
      const answer = await playlist(query);
      expect([query, answer.status, answer.headers.get("Cache-Control")]).toEqual([query, 400, "no-store"]);
    }
  });

  it("[BR3] takes a part past the end of its segment for part 0 of the next", async () => {
    const held = playlist("?_HLS_msn=3&_HLS_part=4");
    expect(await isHeld(held)).toBe(true);
    await origin.part("source", 4, 0);
    expect(await textOf(await held)).toContain("1-4.0.m4s");
  });

  it("[BR4] answers a request for an old segment at once", async () => {
    expect(await isHeld(playlist("?_HLS_msn=1&_HLS_part=2"))).toBe(false);
    expect(await isHeld(playlist("?_HLS_msn=3"))).toBe(false);
  });

  it("[BR5] gives up after three target durations with 503, never with the unchanged playlist", async () => {
    const started = Date.now();
    const answer = await playlist("?_HLS_msn=4");
    expect(answer.status).toBe(503);
    expect(Date.now() - started).toBeGreaterThan(5_500);
    expect(answer.headers.get("Cache-Control")).toBe("no-store");
  });

  it("[BR6] answers whoever is held with the final playlist when the broadcast ends, and ignores directives after", async () => {
    const held = playlist("?_HLS_msn=4&_HLS_part=1");
    expect(await isHeld(held)).toBe(true);
    await origin.end("unpublished");
    expect(await textOf(await held)).toContain("#EXT-X-ENDLIST");
    expect(await textOf(await playlist("?_HLS_msn=99&_HLS_part=99"))).toContain("#EXT-X-ENDLIST");
  });

  it("goes on holding after the object was lost in the middle of it", async () => {
    const held = playlist("?_HLS_msn=4&_HLS_part=0");
    expect(await isHeld(held)).toBe(true);
    await abortAllDurableObjects();
    await origin.part("source", 4, 0);
    expect((await held).status).toBe(200);
    expect(await textOf(await held)).toContain("1-4.0.m4s");
  });

  it("goes on over a reconnect: the hint names the next connection's first part", async () => {
    await origin.part("source", 4, 0);
    await origin.part("audio", 4, 0);
    await origin.end("connection_lost");
    await expect.poll(async () => textOf(await playlist(""))).toContain("1-4.m4s");
    expect(await textOf(await playlist(""))).toContain(`PRELOAD-HINT:TYPE=PART,URI="../../../../media/${id}/1/source/2-5.0.m4s"`);
    const held = playlist("?_HLS_msn=5&_HLS_part=0");
    const hinted = ask(`/media/${id}/1/source/2-5.0.m4s`);
    expect(await isHeld(held)).toBe(true);
    const again = await OriginCalls.publish(key);
    await again.begin();
    await again.part("source", 5, 0);
    const text = await textOf(await held);
    expect(text).toMatch(
      /1-4\.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="[^"]*init-2\.mp4"\n#EXT-X-PROGRAM-DATE-TIME:.*\n#EXT-X-PART:.*2-5\.0\.m4s"/,
    );
    expect(await textOf(await hinted)).toContain("source 5.0");
  });
});

describe("[PL9] the preload hint", () => {
  it("is exactly one, and what it names is held until it is whole", async () => {
    const text = await textOf(await playlist(""));
    const hints = [...text.matchAll(/#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"/g)];
    expect(hints).toHaveLength(1);
    const [uri = ""] = hints.map((hint) => hint[1] as string);
    const held = ask(uri.replace("../../../../", "/"));
    expect(await isHeld(held)).toBe(true);
    await origin.part("source", 4, 0);
    const answer = await held;
    expect([answer.status, answer.headers.get("Content-Type"), answer.headers.get("Cache-Control")]).toEqual([
      200,
      "video/mp4",
      "public, max-age=60",
    ]);
    expect(await textOf(answer)).toContain("source 4.0");
  });

  it("names the next segment once the open one is full", async () => {
    for (let part = 0; part < 4; part++) await origin.part("source", 4, part);
    expect(await textOf(await playlist(""))).toContain(`URI="../../../../media/${id}/1/source/1-5.0.m4s"\n#EXT-X-RENDITION-REPORT`);
  });

  it("leaves a part that will not come unheld", async () => {
    expect((await ask(`/media/${id}/1/source/1-9.0.m4s`)).status).toBe(404);
    expect((await ask(`/media/${id}/1/source/7-4.0.m4s`)).status).toBe(404);
    const held = ask(`/media/${id}/1/source/1-4.1.m4s`);
    expect(await isHeld(held)).toBe(true);
    await origin.part("source", 4, 0);
    await origin.segment("source", 4, bytesOf("source 4.0"));
    expect((await held).status).toBe(404);
  });
});

describe("delivery", () => {
  it("[PL11] answers a delta update where the window is long enough, and the whole playlist otherwise", async () => {
    expect(await textOf(await playlist("?_HLS_skip=YES"))).not.toContain("EXT-X-SKIP");
    await origin.pushSegments(4, 10);
    const text = await textOf(await playlist("?_HLS_skip=YES"));
    expect(text).toContain("#EXT-X-VERSION:9\n");
    expect(text).toContain("#EXT-X-SKIP:SKIPPED-SEGMENTS=4\n");
    expect(text.match(/#EXTINF/g)).toHaveLength(6);
  });

  it("[PL10] reports how far the other rendition is", async () => {
    await origin.part("audio", 4, 0);
    expect(await textOf(await playlist(""))).toContain('RENDITION-REPORT:URI="../audio/index.m3u8",LAST-MSN=4,LAST-PART=0');
    expect(await textOf(await playlist("", "audio"))).toContain('RENDITION-REPORT:URI="../source/index.m3u8",LAST-MSN=3,LAST-PART=3');
  });

  it("[PL15] compresses playlists for clients that accept it, has ETags, and answers 304 and HEAD", async () => {
    const answer = await ask(`/hls/${id}/1/source/index.m3u8`, { headers: { "Accept-Encoding": "gzip" } });
    expect([answer.headers.get("Content-Encoding"), answer.headers.get("Vary")]).toEqual(["gzip", "Accept-Encoding"]);
    const etag = answer.headers.get("ETag") as string;
    await answer.arrayBuffer();
    const again = await ask(`/hls/${id}/1/source/index.m3u8`, { headers: { "If-None-Match": `W/${etag}` } });
    expect([again.status, await textOf(again)]).toEqual([304, ""]);
    const head = await ask(`/media/${id}/1/source/1-1.m4s`, { method: "HEAD" });
    expect([head.status, head.headers.get("Content-Length"), await textOf(head)]).toEqual([200, "256", ""]);
    const preflight = await ask(`/hls/${id}/index.m3u8`, {
      method: "OPTIONS",
      headers: { Origin: "https://x", "Access-Control-Request-Method": "GET" },
    });
    expect([preflight.status, preflight.headers.get("Access-Control-Allow-Origin")]).toEqual([204, "*"]);
  });

  it("has no parts in standard latency, and blocks by segment", async () => {
    const stream = await createStream({ latency_mode: "standard" });
    const standard = await OriginCalls.publish(stream.stream_key);
    await standard.begin();
    await standard.pushSegments(1, 2);
    const text = await textOf(await ask(`/hls/${stream.id}/source/index.m3u8`));
    expect(text).not.toMatch(/PART|PRELOAD/);
    expect(text).toContain("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6.000,CAN-SKIP-UNTIL=12.000\n");
    const held = ask(`/hls/${stream.id}/source/index.m3u8?_HLS_msn=3`);
    expect(await isHeld(held)).toBe(true);
    await standard.pushSegments(3, 3);
    expect(await textOf(await held)).toContain("1-3.m4s");
  });
});
