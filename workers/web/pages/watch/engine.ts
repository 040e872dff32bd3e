import type { Failure } from "./recovery.ts";

/** What plays a manifest in a video element. Two kinds exist: hls.js, and the browser itself. */
export interface Engine {
  /** Starts from the manifest, whatever was before. */
  load(): void;
  /** Goes on loading after a network failure. */
  restart(): void;
  /** Repairs the media element; `swap` tries the other AAC profile as well. */
  recover(swap: boolean): void;
  /** Stops loading; what is buffered stays. */
  halt(): void;
  /** Where a viewer at the live edge should be, seconds of media time; null before that is known. */
  readonly livePosition: number | null;
  /** Lets go of the video element. */
  destroy(): void;
}

/** An engine's only news: it failed and waits to be told what to do. */
export type OnFailure = (failure: Failure) => void;
