import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Platform, startEncoder, startPlatform } from "../fakes/platform.ts";
import { launchBrowser } from "./browser.ts";

const EXAMPLE = readFileSync(join(import.meta.dirname, "..", "..", "docs", "examples", "client-js.html"));
const API_KEY = "platform-admin-key";
const soon = { timeout: 20_000, interval: 50 };

let server: Server;
/** The origin of the page's own server, which the platform knows. */
let elsewhere: string;
let platform: Platform;
let browser: Browser;
const pages: Page[] = [];

async function open(query: Record<string, string>, origin = elsewhere): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  pages.push(page);
  await page.goto(`${origin}/client-js.html?${new URLSearchParams({ site: platform.site, ...query })}`);
  return page;
}

function text(page: Page, id: string): Promise<string> {
  return page.evaluate((name) => document.getElementById(name)?.textContent ?? "", id);
}

function currentTime(page: Page): Promise<number> {
  return page.evaluate(() => document.querySelector("video")?.currentTime ?? 0);
}

beforeAll(async () => {
  server = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end(EXAMPLE));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  elsewhere = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  [platform, browser] = await Promise.all([startPlatform({ vars: { ALLOWED_ORIGINS: elsewhere } }), launchBrowser()]);
});
afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.context().close()));
});
afterAll(async () => {
  await browser.close();
  await platform.stop();
  server.close();
});

describe("the page of another site, as a viewer", () => {
  it("plays, counts, and hears what happens from the start to the end", async () => {
    const { id, stream_key } = await platform.createStream({ title: "Rehearsal", reconnect_window_seconds: 5 });
    const page = await open({ stream: id });
    await expect.poll(() => text(page, "title"), soon).toBe("Rehearsal");
    expect(await text(page, "count")).toBe("1");
    expect(await text(page, "status")).toBe("soon");
    const encoder = startEncoder(platform.rtmpPort, stream_key);
    await expect.poll(() => text(page, "status"), soon).toBe("live");
    await expect.poll(() => currentTime(page), soon).toBeGreaterThan(2);
    await expect.poll(() => text(page, "quality"), soon).toMatch(/^\d+ kbit\/s, \d+ frames a second, (good|fair|poor)$/);
    await platform.sendMetadata(id, { score: [2, 1] });
    await expect.poll(() => text(page, "metadata"), soon).toBe('{"score":[2,1]}');
    // What the player says of itself arrives, too.
    await expect.poll(async () => (await platform.viewers(id)).sessions[0]?.rendition, soon).toBe("native");
    await encoder.stop();
    await expect.poll(() => text(page, "status"), { ...soon, timeout: 30_000 }).toBe("ended");
    expect(await text(page, "events")).toMatch(/stream_ended.*timed_metadata.*stream_started.*connection_established/);
    await expect.poll(() => text(page, "overlay"), { ...soon, timeout: 30_000 }).toBe("The stream has ended.");
  });

  it("plays on in the watch page's own player, where it is asked to", async () => {
    const { id, stream_key } = await platform.createStream();
    const encoder = startEncoder(platform.rtmpPort, stream_key);
    const page = await open({ stream: id, player: "embed" });
    const state = () => page.frames()[1]?.evaluate(() => document.body.dataset.player);
    await expect.poll(state, { ...soon, timeout: 30_000 }).toBe("playing");
    await expect.poll(() => text(page, "count"), soon).toBe("2");
    await encoder.stop();
  });

  it("is connected again by itself after the edge was away", async () => {
    const { id } = await platform.createStream();
    const page = await open({ stream: id });
    await expect.poll(() => text(page, "connection"), soon).toBe("Connected");
    const lost = expect.poll(() => text(page, "connection"), soon).toMatch(/trying again/);
    await Promise.all([platform.crashEdge(), lost]);
    await expect.poll(() => text(page, "connection"), { ...soon, timeout: 40_000 }).toBe("Connected");
    await expect.poll(() => text(page, "count"), soon).toBe("1");
    expect(await text(page, "problem")).toBe("");
  });

  it("connects to a signed stream with a token", async () => {
    const { id } = await platform.createStream({ visibility: "signed" });
    const page = await open({ stream: id });
    await expect.poll(() => text(page, "problem"), soon).toMatch(/signed: give a playback token/);
    const answer = await fetch(`${platform.site}/api/v1/streams/${id}/playback-tokens`, {
      method: "POST",
      headers: { Authorization: `Bearer ${API_KEY}` },
      body: "{}",
    });
    const { token } = (await answer.json()) as { token: string };
    await page.fill("#token", token);
    await page.click("#open button");
    await expect.poll(() => text(page, "connection"), soon).toBe("Connected");
    expect(page.url()).not.toContain(token);
  });

  it("says what is wrong", async () => {
    const { id } = await platform.createStream();
    const [stranger, lost, nowhere] = await Promise.all([
      open({ stream: id }, elsewhere.replace("127.0.0.1", "localhost")),
      open({ stream: "0".repeat(24) }),
      open({ stream: id, site: "http://127.0.0.1:9" }),
    ]);
    await expect.poll(() => text(stranger, "problem"), soon).toMatch(/is http:\/\/localhost:\d+ in the deployment's ALLOWED_ORIGINS\?/);
    await expect.poll(() => text(lost, "problem"), soon).toMatch(/no such stream/);
    await expect.poll(() => text(nowhere, "problem"), soon).toMatch(/Nothing answers at http:\/\/127.0.0.1:9/);
  });
});

describe("the page of another site, as a back office", () => {
  it("lists, creates, renames and deletes, and keeps the key to itself", async () => {
    const page = await open({});
    await page.fill("#key", API_KEY);
    await page.fill("#name", "Made in a page");
    await page.click("#create button");
    const line = page.locator("#streams li", { hasText: "Made in a page" });
    await line.waitFor();
    const created = JSON.parse(await text(page, "answer")) as { id: string; stream_key: string };
    expect(created.stream_key).toMatch(/^nova_/);
    page.once("dialog", (dialog) => dialog.accept("Renamed in a page"));
    await line.getByText("Rename").click();
    await page.locator("#streams li", { hasText: "Renamed in a page" }).waitFor();
    expect((await platform.getStream(created.id)).title).toBe("Renamed in a page");
    await page.click("#list button");
    await expect.poll(() => text(page, "call"), soon).toBe("GET /streams?limit=20 → 200");
    page.once("dialog", (dialog) => dialog.accept());
    await page.locator("#streams li", { hasText: "Renamed in a page" }).getByText("Delete").click();
    await expect.poll(async () => (await platform.getStream(created.id)).deleted_at, soon).not.toBeNull();
    await expect.poll(() => page.locator("#streams li", { hasText: "Renamed in a page" }).count(), soon).toBe(0);
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
    expect(kept).not.toContain(API_KEY);
  });

  it("says why a call failed", async () => {
    const page = await open({});
    await page.fill("#key", "not-a-key");
    await page.click("#list button");
    await expect.poll(() => text(page, "refusal"), soon).toMatch(/^Refused: this API key is not valid.*\(request .+\)$/);
    const stranger = await open({}, elsewhere.replace("127.0.0.1", "localhost"));
    await stranger.fill("#key", API_KEY);
    await stranger.click("#list button");
    await expect.poll(() => text(stranger, "refusal"), soon).toMatch(/add http:\/\/localhost:\d+ to the deployment's ALLOWED_ORIGINS/);
    const nowhere = await open({ site: "http://127.0.0.1:9" });
    await nowhere.fill("#key", API_KEY);
    await nowhere.click("#list button");
    await expect.poll(() => text(nowhere, "refusal"), soon).toMatch(/Nothing answers/);
  });
});
