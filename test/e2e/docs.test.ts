import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import { launchBrowser } from "./browser.ts";

const WRITTEN = readFileSync(join(import.meta.dirname, "../../docs/streaming-api.openapi.yaml"), "utf8");

let platform: Platform;
let browser: Browser;
const soon = { timeout: 15_000, interval: 50 };

beforeAll(async () => {
  [platform, browser] = await Promise.all([startPlatform(), launchBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await platform?.stop();
});

/** Opens the reference; what it loads from elsewhere, and what it complains of, is kept. */
async function open(width: number, path = "/docs"): Promise<{ page: Page; outside: string[]; complaints: string[] }> {
  const page = await browser.newPage({ viewport: { width, height: 844 } });
  const outside: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== platform.site && protocol !== "data:") outside.push(request.url());
  });
  page.on("console", (message) => void (["error", "warning"].includes(message.type()) && complaints.push(message.text())));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(platform.site + path);
  await page.waitForSelector(".opblock");
  return { page, outside, complaints };
}

describe("the reference of the API", () => {
  it.each([1280, 390])("shows every operation, from the own site only, at a width of %i", async (width) => {
    const { page, outside, complaints } = await open(width);
    const described = (await (await fetch(`${platform.site}/openapi.json`)).json()) as { paths: Record<string, object> };
    const operations = Object.values(described.paths).flatMap((methods) => Object.keys(methods));
    await expect.poll(() => page.locator(".opblock").count(), soon).toBe(operations.length);
    expect(await page.locator("#reference").getAttribute("aria-busy")).toBeNull();
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    expect([outside, complaints]).toEqual([[], []]);
    await page.close();
  });

  it("is found from the start page, and tries the API with a key", async () => {
    const { page } = await open(1280);
    await page.goto(platform.site);
    await page.getByRole("link", { name: "reference of the API" }).click();
    await page.waitForSelector(".opblock");
    await page.getByRole("button", { name: "Authorize" }).first().click();
    await page.getByLabel("Value").fill("platform-admin-key");
    await page.locator(".modal-ux").getByRole("button", { name: "Apply credentials" }).click();
    await page.locator(".modal-ux").getByRole("button", { name: "Close" }).click();
    const create = page.locator("#operations-Streams-createStream");
    await create.locator(".opblock-summary-control").click();
    await create.getByRole("button", { name: "Try it out" }).click();
    await create.getByRole("button", { name: "Execute" }).click();
    await expect
      .poll(() => create.locator(".live-responses-table .response .response-col_status").first().textContent(), soon)
      .toContain("201");
    expect(await create.locator(".live-responses-table").textContent()).toContain("Morning show");
    await page.close();
  });
});

describe("the API's document", () => {
  it.each([
    ["/openapi.json", "application/json"],
    ["/openapi.yaml", "application/yaml"],
  ])("is served at %s, to any site, and may be kept for a while", async (path, type) => {
    const answer = await fetch(platform.site + path);
    const { headers } = answer;
    expect([answer.status, headers.get("Content-Type"), headers.get("Access-Control-Allow-Origin"), headers.get("Cache-Control")]).toEqual([
      ...[200, type, "*", "public, max-age=300"],
    ]);
    // JSON is YAML, too.
    expect(parse(await answer.text())).toEqual(parse(WRITTEN));
  });
});
