import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { EngineHandlers } from "../../workers/web/pages/watch/engine.ts";
import { NativeEngine } from "../../workers/web/pages/watch/native-engine.ts";

/** As much of a video element as the engine touches. */
class FakeVideo extends EventTarget {
  src = "";
  loads = 0;
  duration = Number.NaN;
  error: { code: number } | null = null;
  ranges: [number, number][] = [];

  load(): void {
    this.loads += 1;
  }

  removeAttribute(): void {
    this.src = "";
  }

  get seekable() {
    const at = (index: number) => this.ranges[index] as [number, number];
    return { length: this.ranges.length, start: (index: number) => at(index)[0], end: (index: number) => at(index)[1] };
  }
}

let video: FakeVideo;
const handlers = { onFailure: vi.fn(), onMedium: vi.fn(), onQualities: vi.fn() } satisfies EngineHandlers;
const make = () => new NativeEngine(video as unknown as HTMLVideoElement, "/hls/s/index.m3u8", handlers);

beforeEach(() => {
  video = new FakeVideo();
  vi.stubGlobal("MediaError", { MEDIA_ERR_DECODE: 3 });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.clearAllMocks();
});

describe("a browser that plays HLS itself", () => {
  it("is given the playlist, and lets go of it", () => {
    const engine = make();
    engine.load();
    expect(video).toMatchObject({ src: "/hls/s/index.m3u8", loads: 1 });
    engine.destroy();
    expect(video.src).toBe("");
    video.dispatchEvent(new Event("durationchange"));
    expect(handlers.onMedium).not.toHaveBeenCalled();
  });

  it("is live a little before the end of what can be sought to, and never before its start", () => {
    const engine = make();
    video.duration = Number.POSITIVE_INFINITY;
    expect(engine.livePosition).toBeNull();
    video.ranges = [[100, 400]];
    expect(engine.livePosition).toBe(398);
    expect(engine.window).toEqual({ start: 100, end: 400 });
    video.ranges = [[399, 400]];
    expect(engine.livePosition).toBe(399);
  });

  it("takes what has a duration for a recording, unless it was live before", () => {
    make();
    const lasts = (duration: number) => {
      video.duration = duration;
      video.dispatchEvent(new Event("durationchange"));
    };
    lasts(Number.NaN);
    lasts(90);
    lasts(Number.POSITIVE_INFINITY);
    lasts(120);
    expect(handlers.onMedium.mock.calls.flat()).toEqual(["recording", "live", "ended"]);
    video.ranges = [[0, 120]];
    expect(make().livePosition).toBeNull();
  });

  it.each([
    [410, "gone"],
    [401, "denied"],
    [404, "manifest"],
    [200, "manifest"],
  ] as const)("finds out that an error was a playlist's %i", async (status, failure) => {
    make();
    vi.stubGlobal("fetch", () => Promise.resolve(new Response(null, { status })));
    video.error = { code: 4 };
    video.dispatchEvent(new Event("error"));
    await vi.waitFor(() => expect(handlers.onFailure).toHaveBeenCalledWith(failure));
  });

  it("calls what cannot be decoded a media failure, without asking", async () => {
    make();
    vi.stubGlobal("fetch", () => Promise.reject(new Error("not asked")));
    video.error = { code: 3 };
    video.dispatchEvent(new Event("error"));
    await vi.waitFor(() => expect(handlers.onFailure).toHaveBeenCalledWith("media"));
  });
});
