import { describe, expect, it } from "vitest";
import type { AnalyticsRow } from "../../domain/audience/analytics-point.ts";
import type { ViewerList } from "../../domain/protocol/api/viewers.ts";
import { keptRows } from "../../durable-objects/analytics/memory-sink.ts";
import { createAccount } from "./account.ts";
import { ask, askApi, createStream } from "./edge.ts";

const PHONE = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36";

async function join(id: string, viewer: string, agent = ""): Promise<WebSocket> {
  const headers = { Upgrade: "websocket", "User-Agent": agent };
  const socket = (await ask(`/api/v1/streams/${id}/ws?viewer=${viewer}`, { headers, cf: { country: "NZ" } as CfProperties })).webSocket;
  if (socket === null) throw new Error("no socket");
  socket.accept();
  return socket;
}

async function list(id: string, query = ""): Promise<ViewerList> {
  const answer = await askApi("GET", `/api/v1/streams/${id}/viewers${query}`);
  expect([answer.status, answer.headers.get("Cache-Control")]).toEqual([200, "no-store"]);
  return answer.json();
}

describe("the viewers of a stream", () => {
  it("are listed with what is known of their stay, and their coming and going is measured", async () => {
    const { id } = await createStream();
    expect(await list(id)).toEqual({ viewers: { connected: 0, sockets: 0, pull: 0 }, sessions: [], next_cursor: null });
    const socket = await join(id, "viewer-0001", PHONE);
    socket.send(JSON.stringify({ type: "playback", rendition: "720p", buffered_ms: 900, latency_ms: 1800, stalls: 2, switches: 1 }));
    await expect.poll(async () => (await list(id)).sessions[0]?.rendition).toBe("720p");
    const lasting = await list(id);
    expect(lasting.viewers).toEqual({ connected: 1, sockets: 1, pull: 0 });
    expect(lasting.sessions).toEqual([
      {
        viewer: "viewer-0001",
        joined_at: expect.stringMatching(/^\d{4}-.*Z$/),
        left_at: null,
        duration_seconds: expect.any(Number),
        rendition: "720p",
        stalls: 2,
        switches: 1,
        device: "mobile",
        country: "NZ",
      },
    ]);
    socket.close(1000, "bye");
    await expect.poll(async () => (await list(id)).sessions[0]?.left_at).not.toBeNull();
    const { viewers, sessions } = await list(id);
    expect(viewers.connected).toBe(0);
    const [stay] = sessions as [ViewerList["sessions"][number]];
    expect(stay).toMatchObject({ viewer: "viewer-0001", rendition: "720p", stalls: 2, switches: 1 });
    expect(stay.duration_seconds * 1000).toBe(Date.parse(stay.left_at as string) - Date.parse(stay.joined_at));
    expect(keptRows(id)).toEqual<AnalyticsRow[]>([
      { indexes: [id], blobs: ["join", "", "mobile", "NZ", ""], doubles: [1] },
      { indexes: [id], blobs: ["leave", "", "mobile", "NZ", ""], doubles: [stay.duration_seconds] },
    ]);
  });

  it("come in pages, the newest first, each once", async () => {
    const { id } = await createStream();
    for (let viewer = 1; viewer <= 7; viewer++) await join(id, `viewer-000${viewer}`);
    const seen: string[] = [];
    const sizes: number[] = [];
    let query = "?limit=3";
    for (;;) {
      const { sessions, next_cursor } = await list(id, query);
      seen.push(...sessions.map(({ viewer }) => viewer));
      sizes.push(sessions.length);
      if (next_cursor === null) break;
      query = `?limit=3&cursor=${next_cursor}`;
    }
    expect(sizes).toEqual([3, 3, 1]);
    expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1].map((viewer) => `viewer-000${viewer}`));
  });

  it("are for the stream's owner only, and asked for in the right words", async () => {
    const { id } = await createStream();
    const path = `/api/v1/streams/${id}/viewers`;
    expect((await ask(path)).status).toBe(401);
    expect((await ask(path, { headers: { Authorization: "Bearer wrong" } })).status).toBe(401);
    const other = await (await createAccount()).ask("GET", path);
    expect([other.status, (await other.json<{ error: string }>()).error]).toEqual([404, "stream_not_found"]);
    expect((await askApi("GET", `/api/v1/streams/${"0".repeat(24)}/viewers`)).status).toBe(404);
    for (const query of ["?limit=0", "?limit=101", "?limit=x", "?cursor=%20", "?cursor=nonsense", "?page=2"])
      expect([query, (await askApi("GET", path + query)).status]).toEqual([query, 400]);
  });
});
