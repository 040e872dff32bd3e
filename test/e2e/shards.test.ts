import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { ServerFrame } from "../../domain/protocol/events.ts";
import type { ViewerList } from "../../workers/api/client/operations.ts";
import { type Platform, startPlatform } from "../fakes/platform.ts";

const THRESHOLD = 200;
const VIEWERS = 850;

let platform: Platform;
const viewers: { socket: WebSocket; frames: ServerFrame[] }[] = [];

beforeAll(async () => {
  platform = await startPlatform({ vars: { SHARD_THRESHOLD: String(THRESHOLD) } });
});
afterAll(async () => {
  for (const { socket } of viewers) socket.close();
  await platform.stop();
});

async function join(stream: string, number: number): Promise<void> {
  const viewer = `viewer-${String(number).padStart(6, "0")}`;
  const socket = new WebSocket(`${platform.site.replace("http", "ws")}/api/v1/streams/${stream}/ws?viewer=${viewer}`);
  const frames: ServerFrame[] = [];
  socket.addEventListener("message", ({ data }) => data !== "pong" && frames.push(JSON.parse(data as string)));
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  viewers.push({ socket, frames });
}

/** Every number once, in order, or a gap that says which are missing. */
function isContiguous(frames: ServerFrame[]): boolean {
  return frames.every(({ seq, event, data }, index) => {
    const before = frames[index - 1]?.seq;
    return before === undefined || (event === "gap" ? data.from <= before + 1 : seq === before + 1);
  });
}

it("an audience over five objects is counted to the viewer, and hears every event, as if it were at one", async () => {
  const { id } = await platform.createStream();
  for (let number = 0; number < VIEWERS; number += 25)
    await Promise.all(Array.from({ length: 25 }, (_, index) => join(id, number + index)));
  const seen = async () => (await platform.getStream(id)).viewers;
  await vi.waitFor(async () => expect(await seen()).toEqual({ connected: VIEWERS, sockets: VIEWERS, pull: 0 }), { timeout: 10_000 });
  await vi.waitFor(
    () => {
      for (const { frames } of viewers)
        expect(frames.findLast(({ event }) => event === "viewer_count_changed")?.data).toMatchObject({ viewer_count: VIEWERS });
    },
    { timeout: 10_000 },
  );

  // The first four shards, and no more: each has about 160 of the 650 that the stream's own object has no room for.
  expect(platform.countObjects("AudienceShard")).toBe(4);
  const left = viewers.splice(100, 400);
  for (const { socket } of left) socket.close(1000);
  await vi.waitFor(async () => expect(await seen()).toMatchObject({ connected: VIEWERS - left.length }), { timeout: 10_000 });

  await platform.deleteStream(id);
  await vi.waitFor(
    () => {
      for (const { frames } of viewers) expect(frames.at(-1)?.event).toBe("stream_ended");
    },
    { timeout: 10_000 },
  );
  expect(viewers.filter(({ frames }) => !isContiguous(frames))).toEqual([]);

  // The stays are listed across all objects, each once.
  const stays = new Set<string>();
  let cursor: string | null = null;
  do {
    const page: ViewerList = await platform.viewers(id, { limit: 100, ...(cursor === null ? {} : { cursor }) });
    for (const { viewer } of page.sessions) stays.add(viewer);
    cursor = page.next_cursor;
  } while (cursor !== null);
  expect(stays.size).toBe(VIEWERS);
});
