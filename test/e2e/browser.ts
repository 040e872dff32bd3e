import { type Browser, chromium, type Page } from "playwright-core";

/** Debian's Chromium, without the services that a closed network refuses. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
      ...["--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
    ],
  });
}

/** What a watch page shows of itself, and what its video does. */
export interface WatchPage {
  state: string | undefined;
  viewers: number;
  player: string | undefined;
  currentTime: number;
  frames: number;
  stalls: number;
}

/** Opens a watch page and counts every time that its picture has to wait after it has begun. */
export async function watch(browser: Browser, url: string): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 960, height: 640 } });
  const page = await context.newPage();
  await page.addInitScript(() => {
    const seen = { begun: false, stalls: 0 };
    Object.assign(window, { seen });
    document.addEventListener("playing", () => (seen.begun = true), true);
    document.addEventListener("waiting", () => (seen.stalls += seen.begun ? 1 : 0), true);
  });
  await page.goto(url);
  return page;
}

/** Reads a watch page. */
export function look(page: Page): Promise<WatchPage> {
  return page.evaluate(() => {
    const video = document.querySelector("video");
    const { state, viewers, player } = document.body.dataset;
    return {
      state,
      viewers: Number(viewers),
      player,
      currentTime: video?.currentTime ?? 0,
      frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
      stalls: (window as unknown as { seen: { stalls: number } }).seen.stalls,
    };
  });
}
