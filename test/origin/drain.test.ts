import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { syntheticTags } from "../fakes/media/synthetic-tags.ts";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import { PacedEncoder } from "../fakes/rtmp/paced-encoder.ts";
import { numbersOf, playlist, until } from "./playlists.ts";

let platform: Platform;
const encoders: PacedEncoder[] = [];
const tags = syntheticTags({ seconds: 10 });

beforeAll(async () => {
  platform = await startPlatform();
});
afterEach(() => {
  for (const encoder of encoders.splice(0)) encoder.crash();
});
afterAll(() => platform.stop());

async function publish(port: number, key: string, details = {}): Promise<PacedEncoder> {
  const encoder = await PacedEncoder.publish(port, key, tags, { loops: true, details });
  encoders.push(encoder);
  return encoder;
}

const lastOf = async (id: string) => numbersOf(await playlist(platform, id))?.last ?? 0;
const ask = (port: number, path: string, method = "GET") => fetch(`http://127.0.0.1:${port}${path}`, { method });

it("a box that drains takes nobody, asks those who can to move, lets the others finish, and ends them when their time is over", async () => {
  const box = await platform.startOrigin();
  const { rtmp, privateHttp } = box.ports;
  const [mover, stayer] = [await platform.createStream(), await platform.createStream()];
  const moving = await publish(rtmp, mover.stream_key, { capsEx: 1 });
  const staying = await publish(rtmp, stayer.stream_key);
  await expect.poll(() => lastOf(mover.id), until).toBeGreaterThan(0);
  await expect.poll(() => lastOf(stayer.id), until).toBeGreaterThan(0);
  expect((await ask(privateHttp, "/readyz")).status).toBe(200);
  expect((await ask(privateHttp, "/drain?seconds=6", "POST")).ok).toBe(true);
  expect((await ask(privateHttp, "/readyz")).status).toBe(503);
  expect((await ask(privateHttp, "/healthz")).status).toBe(200);
  const late = await platform.createStream();
  await expect(publish(rtmp, late.stream_key)).rejects.toThrow(/shutting down/);

  await expect.poll(() => moving.statuses.at(-1)?.code, until).toBe("NetConnection.Connect.ReconnectRequest");
  expect(staying.statuses.some(({ code }) => code.includes("Reconnect"))).toBe(false);
  await moving.stop();
  await publish(platform.rtmpPort, mover.stream_key);
  await expect.poll(async () => playlist(platform, mover.id), until).toContain("#EXT-X-DISCONTINUITY\n");
  expect(await platform.getStream(mover.id)).toMatchObject({ status: "active", broadcast: 1 });

  const before = await lastOf(stayer.id);
  await staying.closed;
  expect(staying.statuses.at(-1)?.description).toMatch(/shutting down/);
  expect(await lastOf(stayer.id)).toBeGreaterThan(before);
  await expect.poll(async () => (await platform.getStream(stayer.id)).status, until).toBe("reconnecting");
  expect((await ask(privateHttp, "/drain", "DELETE")).ok).toBe(true);
  await publish(rtmp, late.stream_key);
});

it("[PL13] stops within its time when it is told to, having uploaded all there was", async () => {
  const box = await platform.startOrigin({ DRAIN_SECONDS: "2" });
  const { id, stream_key } = await platform.createStream({ reconnect_window_seconds: 0 });
  const encoder = await publish(box.ports.rtmp, stream_key);
  await expect.poll(() => lastOf(id), until).toBeGreaterThan(0);
  await box.origin.stop();
  expect(encoder.isConnected).toBe(false);
  await expect.poll(() => playlist(platform, id), until).toContain("#EXT-X-ENDLIST");
  expect(await playlist(platform, id)).not.toContain("#EXT-X-GAP");
});

it("refuses a publish beyond MAX_STREAMS in words, and who is live notices nothing", async () => {
  const box = await platform.startOrigin({ MAX_STREAMS: "1" });
  const [live, other] = [await platform.createStream(), await platform.createStream()];
  const first = await publish(box.ports.rtmp, live.stream_key);
  await expect.poll(() => lastOf(live.id), until).toBeGreaterThan(0);
  await expect(publish(box.ports.rtmp, other.stream_key)).rejects.toThrow(/this origin is full: it takes 1 streams/);
  const before = await lastOf(live.id);
  await expect.poll(() => lastOf(live.id), until).toBeGreaterThan(before + 1);
  expect(first.isConnected).toBe(true);
  expect(await playlist(platform, live.id)).not.toMatch(/#EXT-X-(GAP|DISCONTINUITY)\n/);
});
