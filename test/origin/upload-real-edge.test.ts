import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createLog } from "../../origin/log.ts";
import { EdgeClient } from "../../origin/upload/edge-client.ts";
import { Spool } from "../../origin/upload/spool.ts";
import { Uploader } from "../../origin/upload/uploader.ts";
import { build } from "../../scripts/local/build.ts";
import { startEdge } from "../../scripts/local/edge.ts";
import { createApiClient } from "../../workers/api/client/api-client.ts";
import { announce, numbers, pushSegment } from "./upload-rig.ts";

const SECRETS = {
  ID_SECRET: "upload-id-secret",
  ORIGIN_TOKENS: "upload-origin-token",
  ADMIN_API_KEY: "upload-admin-key",
  PLAYBACK_KEYS: "",
};
const HEALTH = {
  ...{ fps: 30, bitrate_kbps: 1500, dropped_frames: 0, keyframe_interval: 2, speed: 1, timestamp_jumps: 0 },
  ...{ health: "good" as const, health_reasons: [], warnings: [] },
};
const log = createLog("silent");
const dataDir = mkdtempSync(join(tmpdir(), "nova-upload-"));
const options = { host: "127.0.0.1", dataDir, rtmpUrl: "rtmp://{host}:1935/live", secrets: SECRETS };
let miniflare: Miniflare;
let site: string;

async function start(port: number): Promise<void> {
  const edge = await startEdge({ ...options, port });
  miniflare = edge.miniflare;
  site = edge.url.origin;
}

beforeAll(async () => {
  await build();
  await start(0);
}, 120_000);
afterAll(async () => {
  await miniflare.dispose();
  rmSync(dataDir, { recursive: true, force: true });
});

async function createStream(): Promise<{ id: string; stream_key: string }> {
  const answer = await createApiClient(site, { apiKey: SECRETS.ADMIN_API_KEY }).api.v1.streams.$post({ json: { title: "Upload" } });
  if (answer.status !== 201) throw new Error(`create: ${answer.status}`);
  return answer.json();
}

/** Numbers of the segments in a playlist, with a word for those that are gaps. */
function listSegments(playlist: string): string[] {
  const listed: string[] = [];
  let gap = false;
  for (const line of playlist.split("\n")) {
    if (line === "#EXT-X-GAP") gap = true;
    const msn = /^[^#].*?(\d+)\.m4s$/.exec(line)?.[1];
    if (msn === undefined) continue;
    listed.push(gap ? `${msn} gap` : msn);
    gap = false;
  }
  return listed;
}

it("[PL12] the edge ends and starts again: it gets from memory and disk what it missed, lists it in order, and a gap where there is nothing", async () => {
  const { id, stream_key } = await createStream();
  const edge = new EdgeClient(site, SECRETS.ORIGIN_TOKENS);
  const spool = await Spool.open({ directory: join(dataDir, "spool"), memoryBytes: 2 << 20, diskBytes: 64 << 20, log });
  const publish = { stream_key, origin_id: "box", encoder: { software: null } };
  const { stream_id, epoch, lease } = await edge.publish(publish, AbortSignal.timeout(10_000));
  const refusals: string[] = [];
  const uploaded: string[] = [];
  const uploader = new Uploader({
    ...{ edge, log, spool, lease: { stream: stream_id, epoch, lease } },
    onRefused: (message) => refusals.push(message),
    onFailed: () => refusals.push("failed"),
    onUploaded: (what) => uploaded.push(what),
  });
  announce(uploader);
  for (const rendition of ["source", "audio"]) uploader.init(rendition, Buffer.alloc(800, 1));
  const digests = new Map<number, string>();
  const push = async (msn: number) => {
    digests.set(msn, pushSegment(uploader, "source", msn, 400_000));
    pushSegment(uploader, "audio", msn, 16_000);
    await sleep(30);
  };
  for (let msn = 1; msn <= 3; msn++) await push(msn);
  await expect.poll(() => uploader.status().waitingBytes, { timeout: 10_000 }).toBe(0);
  expect(uploaded.filter((what) => what === "part").length).toBeGreaterThanOrEqual(8);
  expect(refusals).toEqual([]);
  const heartbeat = uploader.heartbeat(HEALTH);
  for (const rendition of ["source", "audio"]) {
    uploader.part({ rendition, msn: 4, part: 0, duration: 0.5, independent: true, bytes: Buffer.alloc(4000, 4) });
  }
  expect(await heartbeat).toEqual({ action: "continue", reason: null });
  await expect.poll(() => uploader.status().waitingBytes, { timeout: 10_000 }).toBe(0);

  await miniflare.dispose();
  for (let msn = 4; msn <= 14; msn++) await push(msn);
  for (const rendition of ["source", "audio"]) uploader.gap(rendition, 15, 2, 1_700_000_030_000);
  await push(16);
  await expect.poll(() => uploader.status().spooledBytes, { timeout: 10_000 }).toBeGreaterThan(1_000_000);
  await start(Number(new URL(site).port));
  await uploader.drain(15_000);
  expect(uploader.status()).toEqual({ waitingBytes: 0, spooledBytes: 0, gaps: 2 });
  expect(refusals).toEqual([]);

  for (const rendition of ["source", "audio"]) {
    const playlist = await (await fetch(`${site}/hls/${id}/${rendition}/index.m3u8`)).text();
    const listed = listSegments(playlist);
    expect(listed).toEqual([...numbers(1, 14), "15 gap", "16"].slice(-listed.length));
    expect(listed.length).toBeGreaterThan(10);
  }
  const playlistUrl = `${site}/hls/${id}/source/index.m3u8`;
  const ninth = (await (await fetch(playlistUrl)).text()).split("\n").find((line) => /\b9\.m4s$/.test(line)) ?? "";
  const media = await fetch(new URL(ninth, playlistUrl));
  expect(media.status).toBe(200);
  expect(
    createHash("sha256")
      .update(Buffer.from(await media.arrayBuffer()))
      .digest("hex"),
  ).toBe(digests.get(9));
  await edge.close();
  await spool.close();
});
