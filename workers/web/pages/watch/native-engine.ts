import type { Engine, OnFailure } from "./engine.ts";

/** How far behind the end of its seekable range a browser plays by itself, seconds: PART-HOLD-BACK and some. */
const EDGE_SECONDS = 2;

/** Playback by the browser, as on iPhones without Managed Media Source. */
export class NativeEngine implements Engine {
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #onError: () => void;

  constructor(video: HTMLVideoElement, url: string, onFailure: OnFailure) {
    this.#video = video;
    this.#url = url;
    this.#onError = () => {
      const decoded = video.error?.code === MediaError.MEDIA_ERR_DECODE;
      onFailure(decoded ? "media" : "manifest");
    };
    video.addEventListener("error", this.#onError);
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

  get livePosition(): number | null {
    const { seekable } = this.#video;
    return seekable.length > 0 ? seekable.end(seekable.length - 1) - EDGE_SECONDS : null;
  }

  destroy(): void {
    this.#video.removeEventListener("error", this.#onError);
    this.#video.removeAttribute("src");
    this.#video.load();
  }
}
