import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import { Footage, WindowStream, type WindowStreamOptions } from "../fakes/window-stream.ts";
import { launchBrowser, look } from "./browser.ts";

let platform: Platform;
let browser: Browser;
let footage: Footage;
const pages: Page[] = [];
const soon = { timeout: 15_000, interval: 50 };

async function open(options: WindowStreamOptions, fragment = ""): Promise<{ page: Page; stream: WindowStream; id: string }> {
  const { id } = await platform.createStream();
  const page = await (await browser.newContext({ viewport: { width: 960, height: 720 } })).newPage();
  pages.push(page);
  await page.addInitScript(() => {
    const seen = { begun: false, stalls: 0 };
    Object.assign(window, { seen });
    document.addEventListener("playing", () => (seen.begun = true), true);
    document.addEventListener("waiting", () => (seen.stalls += seen.begun ? 1 : 0), true);
  });
  const stream = new WindowStream(footage, id, options);
  await stream.takeOver(page);
  await page.goto(`${platform.site}/watch/${id}${fragment}`);
  return { page, stream, id };
}

/** The place on the timeline: seconds behind live, or from the start of what is over; and what the page says of it. */
function place(page: Page) {
  return page.evaluate(() => {
    const range = document.querySelector<HTMLInputElement>(".scrubber");
    const video = document.querySelector("video");
    return {
      behind: range ? Number(range.max) - range.valueAsNumber : null,
      position: range?.valueAsNumber ?? null,
      reach: range ? Number(range.max) : null,
      spoken: range?.getAttribute("aria-valuetext") ?? null,
      clock: document.querySelector(".clock")?.textContent ?? null,
      atLive: document.querySelector<HTMLElement>("#stage")?.dataset.atLive === "true",
      rate: video?.playbackRate,
      paused: video?.paused,
    };
  });
}

const player = (page: Page) => async () => (await look(page)).player;
const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

beforeAll(async () => {
  [platform, browser, footage] = await Promise.all([startPlatform(), launchBrowser(), Footage.make(300)]);
});
afterEach(async () => {
  await Promise.all(pages.splice(0).map((page) => page.context().close()));
});
afterAll(async () => {
  await browser.close();
  await platform.stop();
  footage.remove();
});

describe("a live window that is worth moving in", () => {
  it("lets a viewer seek back, leaves him there, and brings him back to live", async () => {
    const { page } = await open({ status: "active" });
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
    expect(await place(page)).toMatchObject({ spoken: "Live", clock: null });
    await page.locator(".scrubber").focus();
    for (let press = 0; press < 5; press++) await page.keyboard.press("ArrowLeft");
    await expect.poll(player(page), soon).toBe("playing");
    const before = await place(page);
    expect(before.behind).toBeGreaterThan(45);
    expect(before.behind).toBeLessThan(55);
    expect(before.spoken).toBe(`${before.behind} seconds behind live`);
    expect(before.clock).toBe(`−0:${before.behind}`);
    // Longer than what brings a viewer at the edge back to it.
    await pause(8);
    const after = await place(page);
    expect(Math.abs((after.behind ?? 0) - (before.behind ?? 0))).toBeLessThan(3);
    expect(after).toMatchObject({ rate: 1, atLive: false, paused: false });
    await page.getByRole("button", { name: "Go to live" }).click();
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
    expect((await place(page)).behind).toBeLessThan(4);
  });

  it("reaches the start of the window and the live edge with one key each", async () => {
    const { page } = await open({ status: "active", windowSeconds: 100 });
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
    await page.locator(".scrubber").focus();
    await page.keyboard.press("Home");
    await expect.poll(player(page), soon).toBe("playing");
    expect((await place(page)).behind).toBeGreaterThan(80);
    await pause(3);
    expect((await place(page)).behind).toBeGreaterThan(80);
    await page.keyboard.press("End");
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
  });

  it("lets who paused go on where he was", async () => {
    const { page } = await open({ status: "active" });
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
    await page.evaluate(() => document.querySelector("video")?.pause());
    await expect.poll(player(page), soon).toBe("paused");
    const { currentTime } = await look(page);
    // Far enough for a player that holds its viewer at the edge to jump.
    await pause(20);
    expect((await look(page)).currentTime).toBe(currentTime);
    await page.getByRole("button", { name: "Play", exact: true }).last().click();
    await expect.poll(player(page), soon).toBe("playing");
    expect((await look(page)).currentTime - currentTime).toBeLessThan(3);
    expect((await place(page)).behind).toBeGreaterThan(15);
    await pause(3);
    expect((await place(page)).behind).toBeGreaterThan(15);
  });

  it("brings who paused for too long to the live edge", async () => {
    const { page, stream } = await open({ status: "active", windowSeconds: 90 });
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
    await page.evaluate(() => document.querySelector("video")?.pause());
    await expect.poll(player(page), soon).toBe("paused");
    stream.advance(120);
    await pause(5);
    await page.evaluate(() => document.querySelector("video")?.play());
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
  });

  it("keeps a viewer's place when the player has to begin anew", async () => {
    const { page, stream } = await open({ status: "active" });
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
    await page.locator(".scrubber").focus();
    await page.keyboard.press("PageDown");
    await expect.poll(async () => (await place(page)).behind, soon).toBeGreaterThan(50);
    await expect.poll(player(page), soon).toBe("playing");
    await pause(1);
    const manifests = () => stream.requests.filter((path) => path.split("/").length === 4).length;
    const before = manifests();
    // Going on loading does not help: the manifest is asked again.
    stream.isCutOff = true;
    await expect.poll(manifests, soon).toBeGreaterThan(before);
    await pause(2);
    stream.isCutOff = false;
    await expect.poll(player(page), soon).toBe("playing");
    await pause(2);
    const after = await place(page);
    expect(after.behind).toBeGreaterThan(55);
    expect(after.behind).toBeLessThan(75);
  });

  it("is not shown where there is little to move in", async () => {
    const { page } = await open({ status: "active", windowSeconds: 60 });
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
    expect(await place(page)).toMatchObject({ reach: null, clock: null });
    await expect.poll(() => page.getByRole("button", { name: "Go to live" }).isVisible(), soon).toBe(true);
  });
});

describe("qualities", () => {
  it("can be chosen with the keyboard, and the choice is played", async () => {
    const { page } = await open({ status: "active", renditions: ["360p", "180p"] });
    await expect.poll(player(page), soon).toBe("playing");
    const button = page.getByRole("button", { name: /^Quality/ });
    await expect.poll(() => button.textContent(), soon).toBe("Auto (360p)");
    await button.focus();
    await page.keyboard.press("Enter");
    const menu = page.getByRole("menu", { name: "Quality" });
    expect(await menu.getByRole("menuitemradio").allTextContents()).toEqual(["Auto", "360p", "180p"]);
    expect(await menu.getByRole("menuitemradio", { checked: true }).textContent()).toBe("Auto");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    expect(await menu.isVisible()).toBe(false);
    expect(await button.textContent()).toBe("180p");
    expect(await page.evaluate(() => document.activeElement?.className)).toBe("quality-button");
    await expect.poll(() => page.evaluate(() => document.querySelector("video")?.videoHeight), soon).toBe(180);
    await button.click();
    await page.keyboard.press("Escape");
    expect(await menu.isVisible()).toBe(false);
    await button.click();
    await menu.getByRole("menuitemradio", { name: "Auto" }).click();
    await expect.poll(() => button.textContent(), soon).toBe("Auto (360p)");
  });

  it("that are dropped are left without a stall, and played again when they are back", async () => {
    const { page, stream, id } = await open({ status: "active", renditions: ["360p", "180p"] });
    const height = () => page.evaluate(() => document.querySelector("video")?.videoHeight);
    await expect.poll(player(page), soon).toBe("playing");
    await expect.poll(height, soon).toBe(360);
    const lists = () => stream.requests.filter((path) => path.endsWith(`/hls/${id}/index.m3u8`)).length;
    const before = lists();
    stream.offer(["180p"], "overload");
    await expect.poll(() => page.locator(".quality-name").count(), { timeout: 2_000 }).toBe(1);
    await expect.poll(height, { timeout: 30_000 }).toBe(180);
    const asked = stream.requests.filter((path) => path.includes("/360p/")).length;
    await pause(5);
    expect(stream.requests.filter((path) => path.includes("/360p/")).length).toBe(asked);
    stream.offer(["360p", "180p"], "recovered");
    await expect.poll(height, { timeout: 30_000 }).toBe(360);
    await expect.poll(() => page.getByRole("button", { name: /^Quality/ }).textContent(), soon).toBe("Auto (360p)");
    expect((await look(page)).stalls).toBe(0);
    expect((await look(page)).player).toBe("playing");
    // The list of qualities is not loaded anew: the picture goes on.
    expect(lists()).toBe(before);
  });

  it("are named, but are no choice, where there is one", async () => {
    const { page } = await open({ status: "active" });
    await expect.poll(() => page.locator(".quality-name").textContent(), soon).toBe("Auto (360p)");
    expect(await page.getByRole("button", { name: /^Quality/ }).count()).toBe(0);
  });
});

describe("a stream that is over", () => {
  it("plays its recording from the start when it is asked for, and can be moved in", async () => {
    const { page } = await open({ status: "completed" });
    const watch = page.getByRole("button", { name: "Watch the recording" });
    await watch.waitFor({ timeout: 15_000 });
    await pause(1);
    expect(await look(page)).toMatchObject({ state: "ended", frames: 0 });
    await watch.click();
    await expect.poll(player(page), soon).toBe("playing");
    await expect.poll(async () => (await place(page)).reach, soon).toBe(300);
    const start = await place(page);
    expect(start.position).toBeLessThan(5);
    expect(start.clock).toBe(`0:0${start.position} / 5:00`);
    expect(await page.getByRole("button", { name: "Go to live" }).isVisible()).toBe(false);
    await page.locator(".scrubber").focus();
    await page.keyboard.press("PageUp");
    await expect.poll(async () => (await place(page)).position, soon).toBeGreaterThan(59);
    await page.keyboard.press("End");
    await page.getByRole("button", { name: "Watch it again" }).waitFor({ timeout: 15_000 });
    expect((await look(page)).player).toBe("ended");
  });

  it("offers the recording to who watched it to its end", async () => {
    const { page, stream } = await open({ status: "active", elapsedSeconds: 296 });
    await expect.poll(player(page), soon).toBe("playing");
    stream.become("completed");
    await page.getByRole("button", { name: "Watch the recording" }).waitFor({ timeout: 30_000 });
  });

  it("asks who watches a recording before it goes live", async () => {
    const { page, stream } = await open({ status: "completed" });
    await page.getByRole("button", { name: "Watch the recording" }).click({ timeout: 15_000 });
    await expect.poll(player(page), soon).toBe("playing");
    stream.become("active");
    await page.getByRole("button", { name: "Live now: watch" }).waitFor({ timeout: 5_000 });
    expect((await look(page)).currentTime).toBeLessThan(10);
    await page.getByRole("button", { name: "Live now: watch" }).click();
    await expect.poll(async () => (await place(page)).atLive, soon).toBe(true);
  });

  it("says that it has ended where nothing was kept, and asks no more", async () => {
    const { page, stream } = await open({ status: "completed", gone: true });
    await page.getByText("The stream has ended").waitFor({ timeout: 15_000 });
    await pause(2);
    const asked = stream.requests.length;
    expect(asked).toBeLessThanOrEqual(3);
    await pause(6);
    expect(stream.requests).toHaveLength(asked);
    expect(await page.getByRole("button", { name: "Watch the recording" }).count()).toBe(0);
  });
});

describe("a stream for invited viewers", () => {
  it("plays with the token of its link, which leaves the address bar and is not copied on", async () => {
    const { page, stream, id } = await open({ status: "active", token: "right.to.watch" }, "#token=right.to.watch");
    await expect.poll(player(page), soon).toBe("playing");
    expect(page.url()).toBe(`${platform.site}/watch/${id}`);
    expect(stream.requests.every((path) => path.startsWith(`/t/right.to.watch/hls/${id}/`))).toBe(true);
    expect(new URL(stream.sockets[0] as string).searchParams.get("token")).toBe("right.to.watch");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.getByRole("button", { name: "Copy link" }).click();
    await expect.poll(() => page.evaluate(() => navigator.clipboard.readText()), soon).toBe(`${platform.site}/watch/${id}`);
    await page.reload();
    await expect.poll(player(page), soon).toBe("playing");
  });

  it("says that it needs an invitation, or that one has expired", async () => {
    const without = await open({ status: "active", token: "right.to.watch" });
    await without.page.getByText("This stream needs an invitation").waitFor({ timeout: 15_000 });
    const expired = await open({ status: "active", token: "right.to.watch" }, "#token=wrong");
    await expired.page.getByText("Your access has expired").waitFor({ timeout: 15_000 });
    expect(await look(expired.page)).toMatchObject({ state: "denied", frames: 0 });
    const asked = expired.stream.requests.length;
    await pause(4);
    expect(expired.stream.requests).toHaveLength(asked);
  });
});
