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
  // The page is put in on its way: Chromium does not know that it comes from this machine, as what it asks does.
  const page = await (await browser.newContext({ permissions: ["local-network-access"] })).newPage();
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
    await page.context().setOffline(true);
    // The socket that is open is not cut by this: the page, as one that comes to sight again, asks it for a sign of life.
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await expect.poll(async () => (await shown(page)).connection, { ...soon, timeout: 20_000 }).not.toBe("");
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

describe("the client in docs/websocket.md", () => {
  it("hears what happens", async () => {
    const text = readFileSync(join(ROOT, "docs", "websocket.md"), "utf8");
    const source = [...text.matchAll(/```js\n(export [\s\S]*?)```/g)][0]?.[1] ?? "";
    const { follow } = (await import(`data:text/javascript,${encodeURIComponent(source)}`)) as {
      follow(url: string, onEvent: (event: string, data: { viewer_count?: number }) => void): void;
    };
    const { id } = await platform.createStream();
    const heard: unknown[] = [];
    const socketOf = (viewer: string) => `${platform.site.replace("http", "ws")}/api/v1/streams/${id}/ws?viewer=${viewer}`;
    follow(socketOf("first-viewer"), (event, { viewer_count }) => void heard.push([event, viewer_count]));
    await expect.poll(() => heard, soon).toContainEqual(["connection_established", 1]);
    const other = new WebSocket(socketOf("other-viewer"));
    await expect.poll(() => heard, soon).toContainEqual(["viewer_count_changed", 2]);
    other.close();
    // Takes the place of the first, which stays shut.
    const replacing = new WebSocket(socketOf("first-viewer"));
    await new Promise((resolve) => replacing.addEventListener("message", resolve, { once: true }));
    replacing.close();
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
      const options = { noEmit: true, strict: true, module: "esnext", moduleResolution: "bundler", target: "es2022", types: [] };
      writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions: options }));
      const compile = (program: string) => {
        writeFileSync(join(directory, "program.ts"), program);
        return promisify(execFile)(join(ROOT, "node_modules", ".bin", "tsc"), ["-p", directory]).then(
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
