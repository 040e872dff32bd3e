import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { syntheticTags } from "../fakes/media/synthetic-tags.ts";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import { PacedEncoder } from "../fakes/rtmp/paced-encoder.ts";
import { numbersOf, playlist, until } from "./playlists.ts";

let platform: Platform;
let otherPort: number;
const encoders: PacedEncoder[] = [];
const tags = syntheticTags({ seconds: 10 });

beforeAll(async () => {
  platform = await startPlatform();
  const { ports } = await platform.startOrigin();
  otherPort = ports.rtmp;
});
afterEach(() => {
  for (const encoder of encoders.splice(0)) encoder.crash();
});
afterAll(() => platform.stop());

async function publish(name: string, port = platform.rtmpPort): Promise<PacedEncoder> {
  const encoder = await PacedEncoder.publish(port, name, tags, { loops: true });
  encoders.push(encoder);
  return encoder;
}

const lastOf = async (id: string) => numbersOf(await playlist(platform, id))?.last ?? 0;

it.each([
  ["vanishes", (encoder: PacedEncoder) => encoder.crash()],
  ["falls silent", (encoder: PacedEncoder) => encoder.pause()],
  ["is stopped", (encoder: PacedEncoder) => void encoder.stop()],
])("a backup at another box takes over when the first encoder %s, within two segments", async (_, fail) => {
  const { id, stream_key } = await platform.createStream();
  const first = await publish(stream_key);
  await expect.poll(() => lastOf(id), until).toBeGreaterThan(0);
  await publish(`${stream_key}?backup=1`, otherPort);
  await sleep(1500);
  expect(await playlist(platform, id)).not.toContain("#EXT-X-DISCONTINUITY\n");
  const failedAt = performance.now();
  fail(first);
  await expect.poll(async () => playlist(platform, id), until).toContain("#EXT-X-DISCONTINUITY\n");
  // Generous: what two segments last, and what a busy machine adds.
  expect(performance.now() - failedAt).toBeLessThan(8000);
  const before = await lastOf(id);
  await expect.poll(() => lastOf(id), until).toBeGreaterThan(before + 1);
  expect(await platform.getStream(id)).toMatchObject({ status: "active", broadcast: 1 });
});

it("the first encoder takes its place again, and the backup stands by for the next time", async () => {
  const { id, stream_key } = await platform.createStream();
  const first = await publish(stream_key);
  await expect.poll(() => lastOf(id), until).toBeGreaterThan(0);
  const backup = await publish(`${stream_key}?backup=1`, otherPort);
  await sleep(1000);
  const discontinuities = async () => [...(await playlist(platform, id)).matchAll(/#EXT-X-DISCONTINUITY\n/g)].length;
  first.crash();
  await expect.poll(discontinuities, until).toBe(1);
  const again = await publish(stream_key);
  await expect.poll(discontinuities, until).toBe(2);
  expect(backup.isConnected).toBe(true);
  await sleep(1500);
  again.crash();
  await expect.poll(discontinuities, until).toBe(3);
  expect(backup.isConnected).toBe(true);
  expect(await platform.getStream(id)).toMatchObject({ broadcast: 1 });
});

it("a backup alone is live, and without a first encoder it may stop the broadcast", async () => {
  const { id, stream_key } = await platform.createStream();
  const backup = await publish(`${stream_key}?backup=1`);
  await expect.poll(async () => (await platform.getStream(id)).status, until).toBe("active");
  await backup.stop();
  await expect.poll(async () => (await platform.getStream(id)).status, until).toBe("completed");
});
