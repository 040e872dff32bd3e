import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";
import { launchBrowser } from "./browser.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const EXAMPLE = readFileSync(join(ROOT, "docs", "examples", "viewer-count.html"), "utf8");

let platform: Platform;
let browser: Browser;
const pages: Page[] = [];
const soon = { timeout: 15_000, interval: 50 };

/** Opens the example as a page of a site. */
async function open(stream: string, site = platform.site): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  pages.push(page);
  await page.route("**/viewer-count.html*", (route) => route.fulfill({ contentType: "text/html", body: EXAMPLE }));
  await page.goto(`${site}/viewer-count.html?edge=${encodeURIComponent(platform.site)}&stream=${stream}`);
  return page;
}

function shown(page: Page) {
  return page.evaluate(() => {
    const text = (id: string) => document.getElementById(id)?.textContent ?? null;
    return { count: text("count"), status: text("status"), connection: text("connection") };
  });
}

beforeAll(async () => {
  [platform, browser] = await Promise.all([startPlatform(), launchBrowser()]);
});
afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.context().close()));
});
afterAll(async () => {
  await browser.close();
  await platform.stop();
});

describe("the example of a viewer count", () => {
  it("counts who comes and goes, as it happens", async () => {
    const { id } = await platform.createStream();
    const first = await open(id);
    await expect.poll(() => shown(first), soon).toEqual({ count: "1", status: "soon", connection: "" });
    const second = await open(id);
    await expect.poll(async () => (await shown(second)).count, soon).toBe("2");
    await expect.poll(async () => (await shown(first)).count, soon).toBe("2");
    await second.close();
    await expect.poll(async () => (await shown(first)).count, soon).toBe("1");
  });

  it("follows the stream from its start to its end", async () => {
    const { id, stream_key } = await platform.createStream({ reconnect_window_seconds: 5 });
    const page = await open(id);
    await expect.poll(async () => (await shown(page)).status, soon).toBe("soon");
    const encoder = startEncoder(platform.rtmpPort, stream_key);
    await expect.poll(async () => (await shown(page)).status, soon).toBe("live");
    await encoder.stop();
    await expect.poll(async () => (await shown(page)).status, { ...soon, timeout: 30_000 }).toBe("ended");
  });

  it("is connected again by itself after its network was away", async () => {
    const { id } = await platform.createStream();
    const page = await open(id);
    await expect.poll(async () => (await shown(page)).count, soon).toBe("1");
    const sockets: string[] = [];
    page.on("websocket", (socket) => sockets.push(socket.url()));
    // The socket that is open is not cut by this, but asked for a sign of life, and given up when none comes.
    await page.context().setOffline(true);
    await expect.poll(async () => (await shown(page)).connection, { ...soon, timeout: 60_000 }).not.toBe("");
    await page.context().setOffline(false);
    await expect.poll(() => shown(page), soon).toEqual({ count: "1", status: "soon", connection: "" });
    expect(new URL(sockets.at(-1) as string).searchParams.get("resume")).toMatch(/^[0-9a-f-]{36}\.\d+$/);
  });

  it("can be imported by other sites, which are told to have themselves allowed", async () => {
    const { id } = await platform.createStream();
    const elsewhere = platform.site.replace("127.0.0.1", "localhost");
    const page = await open(id, elsewhere);
    await expect.poll(async () => (await shown(page)).connection, soon).toMatch(/ALLOWED_ORIGINS/);
  });
});

describe("the client that a deployment serves", () => {
  it("is one module of a lasting name", async () => {
    const answer = await fetch(`${platform.site}/client/stream-socket.js`);
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": "text/javascript; charset=utf-8",
      "access-control-allow-origin": "*",
      "cache-control": "public, max-age=300",
    });
    expect(await answer.text()).not.toMatch(/\bimport\b\s*[({"]|\bfrom\s+"/);
    expect((await fetch(`${platform.site}/client/anything.js`)).status).toBe(404);
  });

  it("has declarations beside it that a program compiles against", async () => {
    const answer = await fetch(`${platform.site}/client/stream-socket.d.ts`);
    expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    const directory = mkdtempSync(join(tmpdir(), "nova-client-"));
    try {
      writeFileSync(join(directory, "stream-socket.d.ts"), await answer.text());
      const compile = (program: string) => {
        writeFileSync(join(directory, "program.ts"), program);
        const options = [
          "--noEmit",
          "--strict",
          "--module",
          "esnext",
          "--target",
          "es2022",
          "--moduleResolution",
          "bundler",
          "--types",
          "",
        ];
        const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
        return promisify(execFile)(process.execPath, [tsc, ...options, join(directory, "program.ts")]).then(
          () => "",
          (error: { stdout: string }) => error.stdout,
        );
      };
      const program = (field: string) => `
        import { makeViewerId, StreamSocket, streamSocketUrl } from "./stream-socket.js";
        const url = streamSocketUrl({ edge: "https://live.example", stream: "s", viewer: makeViewerId() });
        export const socket = new StreamSocket(url, {
          onFrame(frame) { if (frame.event === "viewer_count_changed") { const count: number = frame.data.${field}; void count; } },
        });`;
      expect(await compile(program("viewer_count"))).toBe("");
      expect(await compile(program("viewer_coumt"))).toMatch(/TS2551/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
