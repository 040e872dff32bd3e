import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { build, ROOT } from "../../scripts/local/build.ts";
import { startEdge } from "../../scripts/local/edge.ts";
import type { Wakes } from "../fakes/wakes.ts";

const SECRETS = { ID_SECRET: "test-id-secret", ORIGIN_TOKENS: "test-origin-token", ADMIN_API_KEY: "test-admin-key", PLAYBACK_KEYS: "" };
const VIEWERS = 1_000;
/** The count is in D1 by then, and nothing else is due. */
const SETTLED_MS = 13_000;
/** Longer than the 10 s after which an object without anything to do leaves memory. */
const IDLE_MS = 30_000;

let directory: string;
let miniflare: Miniflare | undefined;
let site: string;
const sockets: WebSocket[] = [];

beforeAll(async () => {
  await build();
  directory = mkdtempSync(join(tmpdir(), "nova-hibernation-"));
  const args = ["deploy", "test/edge/counting-edge.ts", "--dry-run", "--outdir", directory];
  await promisify(execFile)(join(ROOT, "node_modules/.bin/wrangler"), args, { cwd: ROOT, timeout: 60_000 });
  const bundle = join(directory, "counting-edge.js");
  const edge = await startEdge({ host: "127.0.0.1", port: 0, dataDir: directory, rtmpUrl: "rtmp://{host}/live", secrets: SECRETS, bundle });
  miniflare = edge.miniflare;
  site = edge.url.origin;
});
afterAll(async () => {
  for (const socket of sockets) socket.close();
  await miniflare?.dispose();
  rmSync(directory, { recursive: true, force: true });
});

async function call<Answer>(path: string, init: { method?: string; body?: object; token?: string } = {}): Promise<Answer> {
  const { method = "GET", body, token = SECRETS.ADMIN_API_KEY } = init;
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const answer = await fetch(site + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Answer;
}

it("a stream that nothing happens to sleeps with 1,000 viewers on it, and wakes for an event that all of them hear", async () => {
  const { id } = await call<{ id: string }>("/api/v1/streams", { method: "POST", body: { title: "Asleep" } });
  let pongs = 0;
  let ended = 0;
  const open = async (viewer: number) => {
    const socket = new WebSocket(`${site.replace("http", "ws")}/api/v1/streams/${id}/ws?viewer=viewer-${String(viewer).padStart(6, "0")}`);
    socket.addEventListener("message", ({ data }) => {
      if (data === "pong") pongs += 1;
      else if (JSON.parse(data as string).event === "stream_ended") ended += 1;
    });
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    sockets.push(socket);
  };
  for (let viewer = 0; viewer < VIEWERS; viewer += 50) await Promise.all(Array.from({ length: 50 }, (_, index) => open(viewer + index)));
  const count = async () => (await call<{ viewer_count: number }>(`/api/v1/streams/${id}`)).viewer_count;
  await vi.waitFor(async () => expect(await count()).toBe(VIEWERS), { timeout: 10_000 });

  await sleep(SETTLED_MS);
  const before = await call<Wakes>("/wakes");
  for (let elapsed = 0; elapsed < IDLE_MS; elapsed += 10_000) {
    for (const socket of sockets) socket.send("ping");
    await sleep(10_000);
  }
  expect(pongs).toBe(3 * VIEWERS);
  // Neither the pings nor anything else has woken the object, or made a new one.
  expect(await call<Wakes>("/wakes")).toEqual(before);

  await fetch(`${site}/api/v1/streams/${id}`, { method: "DELETE", headers: { Authorization: `Bearer ${SECRETS.ADMIN_API_KEY}` } });
  await vi.waitFor(() => expect(ended).toBe(VIEWERS), { timeout: 10_000 });
  // It had left memory: the event found a new life, which has every viewer.
  expect((await call<Wakes>("/wakes")).lives).toBe(before.lives + 1);
  expect(await count()).toBe(VIEWERS);
});
