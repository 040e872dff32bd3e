import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ServerFrame } from "../../domain/protocol/events.ts";
import { LiveStream } from "../../workers/index.ts";
import { ask, askApi, askOnce, createStream, liveStreamOf, OriginCalls, SITE, textOf } from "./edge.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

async function live(fields: Record<string, unknown> = {}) {
  const stream = await createStream(fields);
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  await origin.pushSegments(1, 2);
  return { ...stream, origin, playlist: `/hls/${stream.id}/1/source/index.m3u8` };
}

/** A request of a player with a name, from an address of its own. */
async function play(path: string, player: string, init: RequestInit = {}): Promise<Response> {
  const headers = { "User-Agent": player, "CF-Connecting-IP": "203.0.113.7", ...(init.headers as Record<string, string>) };
  const answer = await askOnce(path, { ...init, headers });
  expect(answer.headers.has("Nova-Live")).toBe(false);
  return answer;
}

function pullOf(id: string): Promise<number> {
  return liveStreamOf(id)
    .facts()
    .then(({ viewers }) => viewers.pull);
}

describe("players without a socket", () => {
  it("are counted by their first playlist request, and viewers are told", async () => {
    const { id, playlist } = await live();
    const upgrade = await ask(`/api/v1/streams/${id}/ws?viewer=viewer-0001`, { headers: { Upgrade: "websocket", "User-Agent": "page" } });
    const socket = upgrade.webSocket as WebSocket;
    const told: unknown[] = [];
    socket.addEventListener("message", ({ data }) => {
      const frame = ServerFrame.parse(JSON.parse(data as string));
      if (frame.event === "viewer_count_changed") told.push(frame.data.viewers);
    });
    socket.accept();
    await play(playlist, "a player");
    await expect.poll(() => told.at(-1), { timeout: 3_000 }).toEqual({ connected: 1, sockets: 1, pull: 1 });
    socket.close(1000);
  });

  it.each([
    ["a playlist", (id: string) => play(`/hls/${id}/1/source/index.m3u8`, "p")],
    ["whatever is current", (id: string) => play(`/hls/${id}/audio/index.m3u8`, "p")],
    ["a playlist to come", (id: string) => play(`/hls/${id}/1/source/index.m3u8?_HLS_msn=2`, "p")],
    ["a manifest", (id: string) => play(`/dash/${id}/manifest.mpd`, "p")],
    ["a head alone", (id: string) => play(`/hls/${id}/1/source/index.m3u8`, "p", { method: "HEAD" })],
  ])("are known by asking for %s", async (_what, request) => {
    const { id } = await live();
    expect((await request(id)).status).toBe(200);
    await expect.poll(() => pullOf(id)).toBe(1);
  });

  it("are known by asking for what they have", async () => {
    const { id, playlist } = await live();
    const etag = (await play(playlist, "one")).headers.get("ETag") as string;
    await expect.poll(() => pullOf(id)).toBe(1);
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 10_000);
    const again = await play(playlist, "two", { headers: { "If-None-Match": etag } });
    expect(again.status).toBe(304);
    await expect.poll(() => pullOf(id)).toBe(2);
  });

  it("are known behind a playback token", async () => {
    const { id } = await live({ visibility: "signed" });
    const minted = await (await askApi("POST", `/api/v1/streams/${id}/playback-tokens`, {})).json<{ token: string }>();
    const reports = vi.spyOn(LiveStream.prototype, "reportPull");
    expect((await play(`/t/${minted.token}/hls/${id}/1/source/index.m3u8`, "with")).status).toBe(200);
    await expect.poll(() => pullOf(id)).toBe(1);
    // Whoever is refused is not counted, though the next report is due.
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 10_000);
    expect((await play(`/hls/${id}/1/audio/index.m3u8`, "without")).status).toBe(401);
    expect(await pullOf(id)).toBe(1);
    expect(reports).toHaveBeenCalledTimes(1);
  });

  it("are no viewers by asking for anything else", async () => {
    const { id, origin } = await live();
    const reports = vi.spyOn(LiveStream.prototype, "reportPull");
    for (const path of [
      `/hls/${id}/index.m3u8`,
      `/hls/${id}/1/index.m3u8`,
      `/media/${id}/1/source/1-1.m4s`,
      `/media/${id}/1/source/init-1.mp4`,
    ])
      expect((await play(path, "p")).status).toBe(200);
    await play(`/hls/${id}/1/720p/index.m3u8`, "p");
    await origin.end("unpublished");
    for (const path of [`/hls/${id}/1/audio/index.m3u8`, `/hls/${id}/audio/index.m3u8`, `/dash/${id}/1/manifest.mpd`]) {
      const answer = await play(path, "p");
      expect(answer.status).toBe(200);
      expect(await textOf(answer)).toMatch(/EXT-X-ENDLIST|type="static"/);
    }
    expect(await pullOf(id)).toBe(0);
    expect(reports).not.toHaveBeenCalled();
  });

  it("do not wake the object of a recording", async () => {
    const { id, origin } = await live({ record: true });
    await origin.end("unpublished");
    await expect.poll(() => env.MEDIA.head(`${id}/index.m3u8`)).not.toBeNull();
    const calls = vi.spyOn(env.LIVE, "get");
    expect((await play(`/hls/${id}/1/source/recording.m3u8`, "p")).status).toBe(200);
    expect((await play(`/dash/${id}/manifest.mpd`, "p")).status).toBe(200);
    expect(calls).not.toHaveBeenCalled();
  });

  it("are reported at once, and then together each 10 s; they count for 30 s", async () => {
    const { id, playlist } = await live();
    const reports = vi.spyOn(LiveStream.prototype, "reportPull");
    const start = Date.now();
    const clock = vi.spyOn(Date, "now").mockReturnValue(start);
    await play(playlist, "player 0");
    await expect.poll(() => pullOf(id)).toBe(1);
    clock.mockReturnValue(start + 5_000);
    for (let player = 0; player < 20; player++) await play(playlist, `player ${player}`);
    expect(reports).toHaveBeenCalledTimes(1);
    clock.mockReturnValue(start + 10_000);
    await play(playlist, "player 0");
    await expect.poll(() => pullOf(id)).toBe(20);
    expect(reports).toHaveBeenCalledTimes(2);
    clock.mockReturnValue(start + 39_999);
    expect(await pullOf(id)).toBe(20);
    clock.mockReturnValue(start + 40_000);
    expect(await pullOf(id)).toBe(0);
  });

  it("go on watching where the object does not listen", async () => {
    const { playlist } = await live();
    const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
    vi.spyOn(LiveStream.prototype, "reportPull").mockImplementation(() => {
      throw new Error("overloaded");
    });
    expect((await play(playlist, "p")).status).toBe(200);
    await expect.poll(() => log.mock.calls.join()).toContain("pull_report_failed");
  });
});

describe("a page's own player", () => {
  const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15";
  const MAC_PLAYER = "AppleCoreMedia/1.0.0.24F74 (Macintosh; U; Intel Mac OS X 15_5; en_us)";

  it("is not counted beside its socket, nor when that has just closed, and is when it plays on", async () => {
    const { id, playlist } = await live();
    const headers = { Upgrade: "websocket", "User-Agent": MAC, "CF-Connecting-IP": "203.0.113.7", Origin: SITE };
    const socket = (await ask(`/api/v1/streams/${id}/ws?viewer=viewer-0001`, { headers })).webSocket as WebSocket;
    socket.accept();
    const reports = vi.spyOn(LiveStream.prototype, "reportPull");
    await play(playlist, MAC_PLAYER);
    await expect.poll(() => reports.mock.calls.length).toBe(1);
    const viewers = async () => (await liveStreamOf(id).facts()).viewers;
    expect(await viewers()).toEqual({ connected: 1, sockets: 1, pull: 0 });
    socket.close(1000);
    await expect.poll(viewers).toEqual({ connected: 0, sockets: 0, pull: 0 });
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 15_000 });
    try {
      await play(playlist, MAC_PLAYER);
      await expect.poll(viewers).toEqual({ connected: 0, sockets: 0, pull: 1 });
    } finally {
      vi.useRealTimers();
    }
  });
});
