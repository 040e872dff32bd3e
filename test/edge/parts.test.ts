import { describe, expect, it } from "vitest";
import { mediaPath, partFile } from "../../domain/media-address.ts";
import { PartsAnswer } from "../../domain/protocol/origin-link.ts";
import { ask, bytesOf, createStream, OriginCalls, textOf } from "./edge.ts";

interface SentPart {
  rendition: string;
  msn: number;
  part: number;
  duration: number;
  bytes: Uint8Array<ArrayBuffer>;
}

const HEARTBEAT = { fps: 30, bitrate_kbps: 1000, dropped_frames: 0, keyframe_interval: 2, speed: 1, warnings: [] };

function encode(head: unknown, bytes: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(head));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, json.length);
  return Uint8Array.from([length, json, ...bytes].flatMap((piece) => [...piece]));
}

function encodeParts(parts: SentPart[], heartbeat: object | null = null): Uint8Array<ArrayBuffer> {
  const facts = parts.map(({ bytes, ...part }) => ({ ...part, independent: part.part === 0, size: bytes.length }));
  return encode(
    { parts: facts, heartbeat },
    parts.map(({ bytes }) => bytes),
  );
}

const part = (rendition: string, msn: number, index: number, duration = 0.5): SentPart => {
  return { rendition, msn, part: index, duration, bytes: bytesOf(`${rendition} ${msn}.${index}`) };
};

async function live(): Promise<{ id: string; origin: OriginCalls }> {
  const { id, stream_key } = await createStream();
  const origin = await OriginCalls.publish(stream_key);
  await origin.begin();
  return { id, origin };
}

describe("several parts in one call", () => {
  it("are stored as if each had come alone, and renew the lease with a heartbeat that rides along", async () => {
    const { id, origin } = await live();
    const answer = await origin.call("POST", "/parts", encodeParts([part("source", 1, 0), part("audio", 1, 0)], HEARTBEAT));
    expect(answer.status).toBe(200);
    expect(PartsAnswer.parse(await answer.json())).toEqual({
      parts: [{ status: 200 }, { status: 200 }],
      heartbeat: { action: "continue", reason: null },
    });
    for (const rendition of ["source", "audio"]) {
      const stored = await ask(`/media/${mediaPath(id, 1, rendition, partFile(1, 1, 0))}`);
      expect(await textOf(stored)).toBe(new TextDecoder().decode(part(rendition, 1, 0).bytes));
    }
    const again = await origin.call("POST", "/parts", encodeParts([part("source", 1, 0)]));
    expect(await again.json()).toEqual({ parts: [{ status: 200 }], heartbeat: null });
  });

  it("are refused one by one: a part that is too long, or differs, keeps no other from being stored", async () => {
    const { origin } = await live();
    await origin.part("source", 1, 0);
    const other = { ...part("source", 1, 0), bytes: bytesOf("other") };
    const answer = await origin.call(
      "POST",
      "/parts",
      encodeParts([part("source", 1, 1, 0.7), other, part("audio", 1, 0), part("720p", 1, 0)]),
    );
    expect(await answer.json()).toMatchObject({
      parts: [
        { status: 422, error: "part_too_long" },
        { status: 409, error: "conflict" },
        { status: 200 },
        { status: 404, error: "rendition_not_found" },
      ],
    });
  });

  it("are refused as a whole where the body does not add up, or the lease is another's", async () => {
    const { origin } = await live();
    const whole = encodeParts([part("source", 1, 0)]);
    for (const body of [
      whole.slice(0, -1),
      whole.slice(0, 20),
      whole.slice(0, 3),
      encodeParts([]).slice(0, 0),
      encode({ parts: "no" }, []),
    ]) {
      const answer = await origin.call("POST", "/parts", body);
      expect(answer.status).toBe(400);
    }
    const { publication } = origin;
    const stranger = new OriginCalls({ ...publication, lease: `${publication.broadcast}.wrong` });
    const fenced = await stranger.call("POST", "/parts", whole);
    expect([fenced.status, await fenced.json()]).toEqual([409, expect.objectContaining({ error: "fenced" })]);
  });
});
