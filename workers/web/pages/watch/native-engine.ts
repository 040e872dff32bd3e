import type { Engine, EngineHandlers } from "./engine.ts";
import type { SeekWindow } from "./place.ts";
import type { Failure } from "./recovery.ts";
import { lookUpPlaylist } from "./stream-lookup.ts";

/** How far behind the end of its seekable range a browser plays by itself, seconds: PART-HOLD-BACK and some. */
const EDGE_SECONDS = 2;

/** Playback by the browser, as on iPhones without Managed Media Source. It chooses the quality, and keeps its place, by itself. */
export class NativeEngine implements Engine {
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #handlers: EngineHandlers;
  readonly #listening = new AbortController();
  #wasLive = false;

  constructor(video: HTMLVideoElement, url: string, handlers: EngineHandlers) {
    this.#video = video;
    this.#url = url;
    this.#handlers = handlers;
    const { signal } = this.#listening;
    video.addEventListener("error", () => void this.#failed(), { signal });
    video.addEventListener("durationchange", () => this.#measured(), { signal });
  }

  load(): void {
    this.#video.src = this.#url;
    this.#video.load();
  }

  restart(): void {
    this.load();
  }

  recover(): void {
    this.load();
  }

  halt(): void {
    // A browser stops by itself at ENDLIST; taking the source away would lose the last picture.
  }

  follow(): void {
    // A browser leaves a viewer where he is.
  }

  chooseQuality(): void {
    // A browser lets nobody choose.
  }

  offer(): boolean {
    // A browser leaves a playlist of gaps by itself.
    return true;
  }

  get livePosition(): number | null {
    const { window } = this;
    if (window === null || Number.isFinite(this.#video.duration)) return null;
    return Math.max(window.start, window.end - EDGE_SECONDS);
  }

  get window(): SeekWindow | null {
    const { seekable } = this.#video;
    return seekable.length > 0 ? { start: seekable.start(0), end: seekable.end(seekable.length - 1) } : null;
  }

  get date(): number | null {
    return null;
  }

  get rendition(): string | null {
    return null;
  }

  get latencyMs(): number | null {
    return null;
  }

  destroy(): void {
    this.#listening.abort();
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  #measured(): void {
    const { duration } = this.#video;
    if (Number.isNaN(duration)) return;
    const isLive = !Number.isFinite(duration);
    this.#wasLive ||= isLive;
    this.#handlers.onMedium(isLive ? "live" : this.#wasLive ? "ended" : "recording");
  }

  async #failed(): Promise<void> {
    const isDecoding = this.#video.error?.code === MediaError.MEDIA_ERR_DECODE;
    this.#handlers.onFailure(isDecoding ? "media" : await this.#explain());
  }

  async #explain(): Promise<Failure> {
    const found = await lookUpPlaylist(this.#url);
    return found === "gone" || found === "denied" ? found : "manifest";
  }
}
