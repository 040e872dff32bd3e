import { describe, expect, it } from "vitest";
import { type ArrivedTag, InputHead, RecentMedia } from "../../origin/input-head.ts";
import type { FlvTag } from "../../origin/transcode/flv.ts";
import { parseMediaTag } from "../../origin/transcode/media-tag.ts";
import { syntheticTags } from "../fakes/media/synthetic-tags.ts";

const NAMES: Record<number, FlvTag["type"]> = { 8: "audio", 9: "video", 18: "script" };

function arrive(options: Parameters<typeof syntheticTags>[0]): ArrivedTag[] {
  return syntheticTags(options).map(({ type, timestamp, data }) => {
    const tag: FlvTag = { type: NAMES[type] ?? "script", timestamp, data, raw: data };
    return { tag, media: parseMediaTag(tag), at: timestamp };
  });
}

describe("what an encoder says once", () => {
  it("is metadata and a configuration of each codec, whatever else comes", () => {
    const head = new InputHead();
    const tags = arrive({ seconds: 1 });
    for (const tag of tags) head.note(tag);
    const cue: FlvTag = { type: "script", timestamp: 900, data: Buffer.from("\x02\x00\x0aonCuePoint", "latin1"), raw: Buffer.alloc(13) };
    head.note({ tag: cue, media: null, at: 900 });
    expect(head.list()).toEqual(tags.slice(0, 3));
  });

  it("is forgotten of a codec that gave way to another one", () => {
    const head = new InputHead();
    for (const tag of arrive({ seconds: 1 })) head.note(tag);
    for (const tag of arrive({ seconds: 1, video: null, audio: { codec: "MP3", sampleRate: 44_100, channels: 2 }, metadata: false })) {
      head.note(tag);
    }
    expect(head.list().map(({ tag }) => tag.type)).toEqual(["script", "video"]);
  });
});

describe("what an encoder that stands by has sent last", () => {
  it("begins with the newest key frame, and is bounded however small the tags are", () => {
    const recent = new RecentMedia();
    const tags = arrive({ seconds: 5, video: { gop: 2 } });
    for (const tag of tags) recent.push(tag);
    const taken = recent.take();
    expect(taken[0]?.media).toMatchObject({ type: "video", key: true });
    expect(taken[0]?.tag.timestamp).toBe(4000);
    const [small] = tags.filter(({ media }) => media?.type === "audio" && media.role === "frame");
    if (small === undefined) throw new Error("no audio");
    for (let count = 0; count < 100_000; count++) recent.push(small);
    expect(recent.take().length).toBeLessThan(30_000);
  });
});
