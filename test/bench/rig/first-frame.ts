/// <reference lib="dom" />
import type { Browser } from "playwright-core";

/** When what happened on the way to a page's first frame, s from the beginning of the navigation. Null where there was no such thing. */
export interface Startup {
  /** The page's HTML has arrived. */
  html: number;
  /** The last script before the first playlist has arrived. */
  scripts: number | null;
  /** The first playlist is asked for. */
  asked: number | null;
  /** The first playlist has arrived. */
  playlist: number | null;
  /** The last playlist before the first media has arrived. */
  playlists: number | null;
  /** The last init segment before the first frame has arrived. */
  init: number | null;
  /** The first part or segment has arrived. */
  media: number | null;
  /** The first frame is on the screen. */
  frame: number;
}

const TIMEOUT_MS = 15_000;

/** Opens a page in a browser profile of its own, so with nothing cached. Rejects where no frame is shown in 15 s. */
export async function measureStartup(browser: Browser, url: string): Promise<Startup> {
  const context = await browser.newContext({ viewport: { width: 960, height: 640 } });
  try {
    const page = await context.newPage();
    await page.addInitScript(() => {
      const found = Promise.withResolvers<number>();
      Object.assign(window, { firstFrame: found.promise });
      const look = (event: Event) => {
        const video = event.target as HTMLVideoElement;
        video.requestVideoFrameCallback((_now, frame) => found.resolve(frame.expectedDisplayTime));
      };
      // Media events do not bubble, but they are captured.
      document.addEventListener("loadstart", look, { capture: true, once: true });
    });
    await page.goto(url, { timeout: TIMEOUT_MS });
    return await page.evaluate(async (timeoutMs) => {
      const { firstFrame } = window as unknown as { firstFrame: Promise<number> };
      const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), timeoutMs));
      const frame = await Promise.race([firstFrame, late]);
      if (frame === null) throw new Error(`no frame after ${timeoutMs / 1000} s`);
      const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
      const loaded = (performance.getEntriesByType("resource") as PerformanceResourceTiming[]).map((entry) => ({
        path: new URL(entry.name).pathname,
        from: entry.startTime,
        to: entry.responseEnd,
      }));
      const of = (pattern: RegExp, before: number) => loaded.filter(({ path, to }) => pattern.test(path) && to > 0 && to <= before);
      const first = (entries: { to: number }[]) => (entries.length === 0 ? null : Math.min(...entries.map(({ to }) => to)));
      const last = (entries: { to: number }[]) => (entries.length === 0 ? null : Math.max(...entries.map(({ to }) => to)));
      const playlists = of(/\.m3u8$/, frame);
      const media = first(of(/\.(m4s|ts)$/, frame));
      const asked = playlists.length === 0 ? null : Math.min(...playlists.map(({ from }) => from));
      const seconds = (time: number | null) => (time === null ? null : time / 1000);
      return {
        html: (navigation?.responseEnd ?? 0) / 1000,
        scripts: seconds(last(of(/\.js$/, asked ?? frame))),
        asked: seconds(asked),
        playlist: seconds(first(playlists)),
        playlists: seconds(last(playlists.filter(({ to }) => to <= (media ?? frame)))),
        init: seconds(last(of(/init-\d+\.mp4$/, frame))),
        media: seconds(media),
        frame: frame / 1000,
      };
    }, TIMEOUT_MS);
  } finally {
    await context.close();
  }
}
