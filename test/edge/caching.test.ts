import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { type Fill, FillCache } from "../../workers/playback/fill-cache.ts";
import { askOnce, createStream, OriginCalls, segmentBytes, textOf } from "./edge.ts";

async function live(segments: number) {
  const stream = await createStream();
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  await origin.pushSegments(1, segments);
  return { id: stream.id, origin };
}

function fillOf(bytes: number, freshMs = 10_000): Fill {
  return { body: new Uint8Array(bytes), type: "video/mp4", cacheControl: "public, max-age=60", etag: '"x"', from: ["object"], freshMs };
}

const nothing = () => undefined;

describe("the isolate's cache", () => {
  it("[BR4] answers wild polls for old segments out of one playlist", async () => {
    const { id } = await live(8);
    const path = `/hls/${id}/1/source/index.m3u8`;
    await askOnce(path);
    const statuses = new Set<string | null>();
    for (let msn = 1; msn < 8; msn++) {
      for (const part of ["", "&_HLS_part=0", "&_HLS_part=3"]) {
        const answer = await askOnce(`${path}?_HLS_msn=${msn}${part}`);
        expect(answer.status).toBe(200);
        statuses.add(answer.headers.get("Cache-Status"));
      }
    }
    expect([...statuses]).toEqual(["nova-isolate; hit"]);
  });

  it("reads a segment once, whoever asks with whatever cookie, token, query or range", async () => {
    const { id } = await live(1);
    const reads = vi.spyOn(env.MEDIA, "get");
    const path = `/media/${id}/1/source/1-1.m4s`;
    const whole = await textOf(await askOnce(path));
    for (const [suffix, headers] of [
      ["?utm_source=x", {}],
      ["", { Cookie: "session=1" }],
      ["", { Authorization: "Bearer x" }],
      ["?_HLS_msn=3", { Range: "bytes=0-9" }],
    ] as const) {
      const answer = await askOnce(path + suffix, { headers });
      expect(await textOf(answer)).toBe(answer.status === 206 ? whole.slice(0, 10) : whole);
      expect(answer.headers.get("Cache-Control")).toBe(answer.status === 206 ? "no-store" : "public, max-age=31536000, immutable");
      expect(answer.headers.get("Set-Cookie")).toBeNull();
    }
    expect(reads).toHaveBeenCalledTimes(1);
    reads.mockRestore();
  });

  it("keeps nothing that failed", async () => {
    const cache = new FillCache();
    await expect(cache.run("k", () => Promise.reject(new Error("away")), nothing)).rejects.toThrow("away");
    expect((await cache.run("k", async () => fillOf(1), nothing)).status).toBe("miss");
    expect((await cache.run("k", async () => fillOf(1), nothing)).status).toBe("hit");
  });

  it("keeps what is fresh for its time alone, and never more than its share of memory", async () => {
    const cache = new FillCache();
    await cache.run("moment", async () => fillOf(1, 20), nothing);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect((await cache.run("moment", async () => fillOf(1, 20), nothing)).status).toBe("miss");
    const megabytes = 1 << 20;
    for (let number = 0; number < 8; number++) await cache.run(`part ${number}`, async () => fillOf(3 * megabytes), nothing);
    const statuses = [];
    for (let number = 7; number >= 0; number--)
      statuses.push((await cache.run(`part ${number}`, async () => fillOf(0, 0), nothing)).status);
    expect(statuses).toEqual(["hit", "hit", "hit", "hit", "hit", "miss", "miss", "miss"]);
    await cache.run("huge", async () => fillOf(5 * megabytes), nothing);
    expect((await cache.run("huge", async () => fillOf(0, 0), nothing)).status).toBe("miss");
  });

  it("lets a call go on for those who wait when the one who began it has gone", async () => {
    const cache = new FillCache();
    const kept: Promise<unknown>[] = [];
    const answer = Promise.withResolvers<Fill>();
    const leader = cache.run(
      "k",
      () => answer.promise,
      (call) => void kept.push(call),
    );
    const follower = cache.run("k", () => Promise.reject(new Error("a second call")), nothing);
    // Whoever leads may be cancelled; the runtime keeps what it was given alive.
    void leader.catch(nothing);
    expect(kept).toHaveLength(1);
    answer.resolve(fillOf(7));
    expect(await follower).toMatchObject({ status: "collapsed", fill: { from: ["object"] } });
  });
});

describe("[DA4] a segment under its own name while it is open", () => {
  it("streams its parts as they come, and is byte for byte what it will be", async () => {
    const { id, origin } = await live(2);
    const path = `/media/${id}/1/source/1-3.m4s`;
    await origin.part("source", 3, 0);
    const answer = await askOnce(path);
    expect([answer.status, answer.headers.get("Content-Type"), answer.headers.get("Cache-Control")]).toEqual([
      200,
      "video/mp4",
      "public, max-age=60",
    ]);
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    const next = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await next()).toMatch(/^source 3\.0/);
    const second = next();
    await origin.part("source", 3, 1);
    expect(await second).toMatch(/^source 3\.1/);
    for (const part of [2, 3]) await origin.part("source", 3, part);
    expect([await next(), await next()].map((text) => text.slice(0, 10))).toEqual(["source 3.2", "source 3.3"]);
    await origin.segment("source", 3);
    expect((await reader.read()).done).toBe(true);
    expect(await textOf(await askOnce(path))).toBe(new TextDecoder().decode(segmentBytes("source", 3)));
  });

  it("waits for the next one, and ends with the encoder", async () => {
    const { id, origin } = await live(2);
    const held = askOnce(`/media/${id}/1/source/1-3.m4s`);
    await origin.part("source", 3, 0);
    const answer = await held;
    expect(answer.status).toBe(200);
    const bytes = textOf(answer);
    await origin.end("connection_lost");
    expect(await bytes).toMatch(/^source 3\.0\.+$/);
  });

  it("cuts a range of it from the whole", async () => {
    const { id, origin } = await live(1);
    for (let part = 0; part < 4; part++) await origin.part("source", 2, part);
    const held = askOnce(`/media/${id}/1/source/1-2.m4s`, { headers: { Range: "bytes=64-73" } });
    await origin.segment("source", 2);
    const answer = await held;
    expect([answer.status, await textOf(answer)]).toEqual([206, "source 2.1"]);
  });

  it("is 404 where it is none that comes now", async () => {
    const { id } = await live(2);
    for (const file of ["1-5.m4s", "2-3.m4s", "1-99.m4s"]) expect((await askOnce(`/media/${id}/1/source/${file}`)).status).toBe(404);
    expect((await askOnce(`/media/${id}/2/source/1-3.m4s`)).status).toBe(404);
    expect((await askOnce(`/media/${id}/1/720p/1-3.m4s`)).status).toBe(404);
  });
});
