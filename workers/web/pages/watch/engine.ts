import type { SeekWindow } from "./place.ts";
import type { Qualities } from "./qualities.ts";
import type { Failure } from "./recovery.ts";
import type { Medium } from "./timeline.ts";

/** What plays a manifest in a video element. Two kinds exist: hls.js, and the browser itself. */
export interface Engine {
  /**
   * Starts from the manifest, whatever was before: at `date`, Unix ms of the media's own clock; where that is null or no more to be had, where
   * a new viewer would.
   */
  load(date: number | null): void;
  /** Goes on loading after a network failure. */
  restart(): void;
  /** Repairs the media element; `swap` tries the other AAC profile as well. */
  recover(swap: boolean): void;
  /** Stops loading; what is buffered stays. */
  halt(): void;
  /** Holds the viewer at the live edge, or leaves him where he is. */
  follow(edge: boolean): void;
  /** Plays this quality, or chooses by itself: null. */
  chooseQuality(index: number | null): void;
  /** The stream has these video renditions now, and no others: leaves one that is gone. False where it has to load anew to follow. */
  offer(names: readonly string[]): boolean;
  /** Where a viewer at the live edge should be, seconds of media time; null before that is known, and where nothing is live. */
  readonly livePosition: number | null;
  /** What can be sought to; null before that is known. */
  readonly window: SeekWindow | null;
  /** When what is shown was made, Unix ms; null where the media does not say. */
  readonly date: number | null;
  /** The name of the rendition that is shown; null where that is not known. */
  readonly rendition: string | null;
  /** How far behind live it plays, ms; null where that is not known, and where nothing is live. */
  readonly latencyMs: number | null;
  /** Lets go of the video element. */
  destroy(): void;
}

/** An engine's news. */
export interface EngineHandlers {
  /** It failed, and waits to be told what to do. */
  onFailure(failure: Failure): void;
  /** It knows what it plays; told before the first frame is asked for, and when a live broadcast ends. */
  onMedium(medium: Medium): void;
  onQualities(qualities: Qualities): void;
}
