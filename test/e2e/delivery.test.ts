import { type ClientRequest, get, type IncomingMessage } from "node:http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Encoder, type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";

let platform: Platform;
let encoder: Encoder;
let playlist: string;

beforeAll(async () => {
  platform = await startPlatform();
  const { id, stream_key } = await platform.createStream();
  encoder = startEncoder(platform.rtmpPort, stream_key, { gopSeconds: 2 });
  playlist = `${platform.site}/hls/${id}/1/source/index.m3u8`;
  await vi.waitFor(async () => expect((await fetch(playlist)).status).toBe(200), { timeout: 20_000, interval: 100 });
});
afterAll(async () => {
  await encoder.crash();
  await platform.stop();
});

interface Answer {
  status: number | undefined;
  encoding: string | undefined;
  /** How the isolate came by it. */
  cacheStatus: string;
  body: Buffer;
}

/** A request as it goes over the wire, with no header that nobody asked for. */
function request(url: string, headers: Record<string, string> = {}): { sent: ClientRequest; answer: Promise<Answer> } {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = get(url, { headers, agent: false, timeout: 15_000 }, (message: IncomingMessage) => {
    const pieces: Buffer[] = [];
    message.on("data", (piece: Buffer) => pieces.push(piece));
    message.on("end", () =>
      resolve({
        status: message.statusCode,
        encoding: message.headers["content-encoding"],
        cacheStatus: String(message.headers["cache-status"] ?? ""),
        body: Buffer.concat(pieces),
      }),
    );
  });
  sent.on("error", reject);
  return { sent, answer: promise };
}

/** The next segment's first part: a moment from now. */
async function nextPart(): Promise<string> {
  const text = await (await fetch(playlist)).text();
  const segments = Number(/MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1]) + (text.match(/#EXTINF/g)?.length ?? 0);
  return `${playlist}?_HLS_msn=${segments + 1}&_HLS_part=0`;
}

describe("over the wire", () => {
  it("[PL15] playlists are compressed for clients that say they accept it, and for no others", async () => {
    for (const [headers, encoding] of [
      [{}, undefined],
      [{ "Accept-Encoding": "identity" }, undefined],
      [{ "Accept-Encoding": "gzip, deflate" }, "gzip"],
    ] as const) {
      const answer = await request(playlist, headers).answer;
      expect([headers, answer.status, answer.encoding]).toEqual([headers, 200, encoding]);
      expect(answer.body.toString().startsWith("#EXTM3U")).toBe(encoding === undefined);
    }
  });

  it("[BR8] a viewer who leaves does not take along those who wait behind him", async () => {
    const url = await nextPart();
    const leader = request(url);
    leader.answer.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const followers = Array.from({ length: 20 }, () => request(url).answer);
    await new Promise((resolve) => setTimeout(resolve, 100));
    leader.sent.destroy();
    const answers = await Promise.all(followers);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ body }) => body.toString())).size).toBe(1);
  });

  it("[BR8] an audience that waits for one part costs one call of the object, and gets the same bytes", async () => {
    const url = await nextPart();
    const held = Array.from({ length: 300 }, () => request(url).answer);
    const answers = await Promise.all(held);
    expect(new Set(answers.map(({ body }) => body.toString())).size).toBe(1);
    const statuses = answers.map(({ cacheStatus }) => cacheStatus);
    expect(statuses.filter((status) => status === "nova-isolate; fwd=miss; detail=object")).toHaveLength(1);
    expect(
      statuses.filter((status) => status === "nova-isolate; hit" || status === "nova-isolate; fwd=miss; collapsed; detail=object"),
    ).toHaveLength(299);
    // Who comes a moment later costs nothing either.
    expect((await request(url).answer).cacheStatus).toBe("nova-isolate; hit");
  });

  it("[DA4] an audience follows an open segment, and each gets what it will be, byte for byte", async () => {
    const last = Number(/_HLS_msn=(\d+)/.exec(await nextPart())?.[1]);
    const segment = playlist.replace("/hls/", "/media/").replace("index.m3u8", `1-${last}.m4s`);
    const bodies = (await Promise.all(Array.from({ length: 30 }, () => request(segment).answer))).map(({ body }) => body);
    await vi.waitFor(async () => expect(await (await fetch(playlist)).text()).toContain(`/1-${last}.m4s`), {
      timeout: 10_000,
      interval: 100,
    });
    const whole = await vi.waitFor(
      async () => {
        const answer = await request(segment).answer;
        expect(answer.cacheStatus).toContain("detail=r2");
        return answer.body;
      },
      { timeout: 10_000, interval: 200 },
    );
    expect(whole.length).toBeGreaterThan(1000);
    for (const body of bodies) expect(body.equals(whole)).toBe(true);
  });
});
