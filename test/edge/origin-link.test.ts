import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ask, askApi, bytesOf, createStream, liveStreamOf, OriginCalls, segmentBytes, TRACKS, textOf } from "./edge.ts";

async function playlist(id: string, rendition = "source"): Promise<string> {
  const answer = await ask(`/hls/${id}/${rendition}/index.m3u8`);
  expect(answer.status).toBe(200);
  return textOf(answer);
}

describe("publish", () => {
  it("refuses a wrong origin token, an unknown key and a made-up key", async () => {
    const { stream_key } = await createStream();
    expect((await OriginCalls.publishRaw(stream_key, "wrong")).status).toBe(401);
    const madeUp = await OriginCalls.publishRaw(`nova_${"0".repeat(32)}`);
    expect(madeUp.status).toBe(401);
    expect(await madeUp.json()).toMatchObject({ error: "unknown_key" });
    expect((await OriginCalls.publishRaw(stream_key, "other-origin-token")).status).toBe(200);
  });

  it("refuses a second encoder while the first holds the lease, and lets it in after its end", async () => {
    const { stream_key } = await createStream();
    const first = await OriginCalls.publish(stream_key);
    await first.begin();
    const second = await OriginCalls.publishRaw(stream_key);
    expect(second.status).toBe(409);
    expect(await second.json()).toMatchObject({ error: "already_live" });
    expect((await first.heartbeat()).status).toBe(200);
    await first.end("connection_lost");
    const third = await OriginCalls.publish(stream_key);
    expect(third.publication).toMatchObject({ broadcast: 1, epoch: 2 });
  });

  it("keeps only a digest of the key in D1", async () => {
    const { stream_key } = await createStream();
    const tables = ["streams", "stream_keys", "accounts", "api_keys"];
    for (const table of tables) {
      const { results } = await env.DB.prepare(`SELECT * FROM ${table}`).all();
      expect(JSON.stringify(results)).not.toContain(stream_key.slice(5));
    }
  });

  it("refuses the key of a deleted stream, and tells a live origin to stop", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    expect((await askApi("DELETE", `/api/v1/streams/${id}`)).status).toBe(204);
    expect(await (await origin.heartbeat()).json()).toMatchObject({ action: "stop" });
    expect((await origin.part("source", 1, 0)).status).toBe(409);
    expect((await OriginCalls.publishRaw(stream_key)).status).toBe(403);
  });
});

describe("fencing", () => {
  it("accepts nothing of an older epoch, and shows none of it", async () => {
    const { id, stream_key } = await createStream();
    const old = await OriginCalls.publish(stream_key);
    await old.begin();
    await old.pushSegments(1, 1);
    await old.end("connection_lost");
    const current = await OriginCalls.publish(stream_key);
    await current.begin();
    for (const answer of [
      await old.part("source", 2, 0),
      await old.segment("source", 2),
      await old.heartbeat(),
      await old.end("idle"),
      await old.tracks(),
    ]) {
      expect(answer.status).toBe(409);
      expect(await answer.json()).toMatchObject({ error: "fenced" });
    }
    await current.segment("source", 2, bytesOf("of the new epoch"));
    const text = await playlist(id);
    expect(text).toContain("/2-2.m4s");
    const bytes = await ask(`/media/${id}/1/source/2-2.m4s`);
    expect(await textOf(bytes)).toContain("of the new epoch");
  });

  it("writes nothing to R2 for whoever does not hold the lease, so that no name is taken", async () => {
    const { stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    const thief = new OriginCalls({ ...origin.publication, lease: "1.stolen" });
    expect((await thief.init("source", bytesOf("poison"))).status).toBe(409);
    expect((await thief.segment("source", 1, bytesOf("poison"))).status).toBe(409);
    await origin.begin();
    expect((await origin.segment("source", 1)).status).toBe(201);
  });

  it("accepts nothing under a wrong lease", async () => {
    const { stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    const thief = new OriginCalls({ ...origin.publication, lease: `${origin.publication.broadcast}.stolen` });
    expect((await thief.tracks()).status).toBe(409);
  });
});

describe("pushes", () => {
  it("are no-ops when repeated, and 409 with other bytes", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.pushSegments(1, 2);
    const before = await playlist(id);
    await origin.begin();
    await origin.pushSegments(1, 2);
    expect(await playlist(id)).toBe(before);
    expect((await origin.init("source", bytesOf("other init"))).status).toBe(409);
    expect((await origin.segment("source", 2, bytesOf("other segment"))).status).toBe(409);
    expect(await playlist(id)).toBe(before);
    await origin.part("source", 3, 0);
    expect((await origin.part("source", 3, 0, bytesOf("other part"))).status).toBe(409);
    expect(await textOf(await ask(`/media/${id}/1/source/1-3.0.m4s`))).toContain("source 3.0");
  });

  it("give the same playlist in any order, listing nothing that cannot be fetched", async () => {
    const orderly = await createStream();
    const ordered = await OriginCalls.publish(orderly.stream_key);
    await ordered.begin();
    await ordered.pushSegments(1, 4);

    const shuffled = await createStream();
    const origin = await OriginCalls.publish(shuffled.stream_key);
    await origin.tracks();
    const pushes: (() => Promise<Response>)[] = [() => origin.init("source"), () => origin.init("audio")];
    for (const rendition of ["source", "audio"]) {
      for (let msn = 1; msn <= 4; msn++) {
        pushes.push(() => origin.segment(rendition, msn));
        for (let part = 0; part < 4; part++) pushes.push(() => origin.part(rendition, msn, part));
      }
    }
    let seed = 7;
    const random = () => {
      seed = (seed * 48271) % 2147483647;
      return seed / 2147483647;
    };
    for (let i = pushes.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [pushes[i], pushes[j]] = [pushes[j] as () => Promise<Response>, pushes[i] as () => Promise<Response>];
    }
    for (const push of pushes) {
      expect((await push()).ok).toBe(true);
      const answer = await ask(`/hls/${shuffled.id}/source/index.m3u8`);
      if (answer.status !== 200) continue;
      for (const uri of (await textOf(answer)).split("\n").filter((line) => line.startsWith("../"))) {
        expect((await ask(uri.replace("../../../", "/"))).status).toBe(200);
      }
    }
    const expected = (await playlist(orderly.id)).replaceAll(orderly.id, shuffled.id);
    expect(await playlist(shuffled.id)).toBe(expected);
  });

  it("survive an eviction between any two calls", async () => {
    const steady = await createStream();
    const undisturbed = await OriginCalls.publish(steady.stream_key);
    await undisturbed.begin();
    await undisturbed.pushSegments(1, 3);

    const { id, stream_key } = await createStream();
    const object = liveStreamOf(id);
    const evict = () => evictDurableObject(object);
    const origin = await OriginCalls.publish(stream_key);
    await evict();
    const calls = [() => origin.tracks(), () => origin.init("source"), () => origin.init("audio")];
    for (let msn = 1; msn <= 3; msn++) {
      for (const rendition of ["source", "audio"]) {
        for (let part = 0; part < 4; part++) calls.push(() => origin.part(rendition, msn, part));
        calls.push(
          () => origin.segment(rendition, msn),
          () => origin.heartbeat(),
        );
      }
    }
    for (const call of calls) {
      expect((await call()).ok).toBe(true);
      await evict();
    }
    expect(await playlist(id)).toBe((await playlist(steady.id)).replaceAll(steady.id, id));
    const part = await ask(`/media/${id}/1/source/1-3.1.m4s`);
    expect(await textOf(part)).toContain("source 3.1");
  });

  it("[CM1] a segment's parts are its bytes, before and after it is complete", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.part("source", 1, 0);
    expect(await textOf(await ask(`/media/${id}/1/source/1-1.0.m4s`))).toContain("source 1.0");
    await origin.pushSegments(1, 8);
    // Segment 1 has left the ring: its parts are cut from R2.
    let joined = "";
    for (let part = 0; part < 4; part++) joined += await textOf(await ask(`/media/${id}/1/source/1-1.${part}.m4s`));
    expect(joined).toBe(new TextDecoder().decode(segmentBytes("source", 1)));
    expect((await ask(`/media/${id}/1/source/1-1.4.m4s`)).status).toBe(404);
  });

  it("[PL12] lists a lost segment as a gap", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.pushSegments(1, 1);
    expect((await origin.call("PUT", "/source/2?duration=2&pdt=1767225602000&gap=1", new Uint8Array())).status).toBe(201);
    await origin.segment("source", 3);
    expect(await playlist(id)).toMatch(/#EXT-X-GAP\n#EXTINF:2\.00000,\n.*1-2\.m4s\n(#EXT-X-PART.*\n)*#EXTINF/);
  });

  it("refuses tracks that change within an epoch, and takes the same ones again", async () => {
    const { stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    expect((await origin.tracks()).status).toBe(204);
    expect((await origin.tracks({ ...TRACKS, renditions: TRACKS.renditions.slice(0, 1) })).status).toBe(409);
    expect((await origin.tracks({ ...TRACKS, renditions: [...TRACKS.renditions, ...TRACKS.renditions] })).status).toBe(400);
  });

  it("[PL6] refuses a segment dated before the one it follows, or a day ahead", async () => {
    const { stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.pushSegments(1, 1);
    for (const pdt of [1, TRACKS.started_at, Date.now() + 90_000_000]) {
      expect((await origin.call("PUT", `/source/2?duration=2&pdt=${pdt}`, bytesOf("source 2"))).status).toBe(422);
    }
    expect((await origin.segment("source", 2)).status).toBe(201);
  });

  it("[PL3] refuses a segment past the target duration, names what is wrong with a query, and caps a body", async () => {
    const { stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    expect((await origin.call("PUT", `/source/1?duration=9&pdt=${TRACKS.started_at}`, bytesOf("x"))).status).toBe(422);
    expect((await origin.call("PUT", "/source/1/0?duration=0.6&independent=1", bytesOf("x"))).status).toBe(422);
    expect((await origin.call("PUT", "/source/1/200?duration=0.5&independent=1", bytesOf("x"))).status).toBe(400);
    const bad = await origin.call("PUT", "/source/1/0?duration=-1&independent=2", bytesOf("x"));
    expect(bad.status).toBe(400);
    expect(await bad.json()).toMatchObject({ error: "invalid_request", details: [{ field: "duration" }, { field: "independent" }] });
    expect((await origin.call("PUT", "/source/init.mp4", new Uint8Array((1 << 20) + 1))).status).toBe(413);
    expect((await origin.call("PUT", "/1080p/1/0?duration=1&independent=1", bytesOf("x"))).status).toBe(404);
  });
});

describe("an origin that vanishes", () => {
  it("loses no acknowledged part: what it left open is saved when the next one publishes", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await origin.pushSegments(1, 2);
    await origin.part("source", 3, 0);
    await origin.part("source", 3, 1);
    await origin.part("audio", 3, 0);
    await origin.end("ingest_lost");
    const next = await OriginCalls.publish(stream_key);
    expect(next.publication.next_msn).toBe(4);
    expect(next.publication.declared).toEqual({ target_duration: 2, part_targets: { source: 0.5, audio: 0.512 } });
    await next.begin();
    await next.pushSegments(4, 4);
    await expect.poll(() => playlist(id)).toContain("2-4.m4s");
    const text = await playlist(id);
    expect(text).toMatch(
      /#EXTINF:1\.00000,\n.*\/1-3\.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=".*init-2\.mp4"\n#EXT-X-PROGRAM-DATE-TIME:/,
    );
    expect(await textOf(await ask(`/media/${id}/1/source/1-3.m4s`))).toBe("source 3.0".padEnd(64, ".") + "source 3.1".padEnd(64, "."));
  });
});
