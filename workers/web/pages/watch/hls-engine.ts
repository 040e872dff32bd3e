import Hls, { type ErrorData, ErrorDetails, ErrorTypes, Events, type Fragment, type HlsConfig, type LevelDetails } from "hls.js";
import type { Engine, EngineHandlers } from "./engine.ts";
import { LevelCap } from "./level-cap.ts";
import { decideOffer } from "./offer.ts";
import type { SeekWindow } from "./place.ts";
import { nameQualities, type Qualities } from "./qualities.ts";
import type { Failure } from "./recovery.ts";
import type { Medium } from "./timeline.ts";

/** Retries inside hls.js, before a failure becomes fatal and the page's own recovery takes over. */
function retries(maxNumRetry: number, retryDelayMs: number) {
  return { maxNumRetry, retryDelayMs, maxRetryDelayMs: 2_000, backoff: "exponential" as const };
}

type AudioLoader = NonNullable<HlsConfig["audioStreamController"]>;

/** Asks for the first audio as soon as the picture's clock is known. hls.js itself looks again only with its timer, up to 0.2 s later. */
class PromptAudio extends (Hls.DefaultConfig.audioStreamController as AudioLoader) {
  constructor(...args: ConstructorParameters<AudioLoader>) {
    super(...args);
    args[0].on(Events.INIT_PTS_FOUND, () => {
      // The first ends its wait, the second begins to load.
      this.tick();
      this.tick();
    });
  }
}

/** Small steps, so that the pitch stays; the target is the playlist's own hold-back. */
const CATCH_UP_RATE = 1.1;
/** Further behind than this, in target durations, a viewer who is held at the live edge is brought back to it. */
const MAX_LATENCY_COUNT = 8;

/** A broken media element is hls.js' to see for this long. */
const UNSEEN_MS = 500;

const CONFIG: Partial<HlsConfig> = {
  audioStreamController: PromptAudio,
  capLevelController: LevelCap,
  lowLatencyMode: true,
  startFragPrefetch: true,
  // CMAF passes through untouched: a worker would cost its start and gain nothing.
  enableWorker: false,
  maxLiveSyncPlaybackRate: CATCH_UP_RATE,
  // A stall says that the line is slow, but the first one is the start itself: only several of them may cost the viewer half a second.
  liveSyncOnStallIncrease: 0.1,
  // An unbounded duration is what tells controls that this is live.
  liveDurationInfinity: true,
  backBufferLength: 30,
  maxBufferLength: 20,
  // Of a small picture hls.js would otherwise fetch minutes ahead.
  maxMaxBufferLength: 40,
  capLevelToPlayerSize: true,
  testBandwidth: false,
  abrEwmaDefaultEstimate: 3_000_000,
  enableInterstitialPlayback: false,
  enableID3MetadataCues: false,
  enableEmsgMetadataCues: false,
  enableDateRangeMetadataCues: false,
  manifestLoadPolicy: { default: { maxTimeToFirstByteMs: 5_000, maxLoadTimeMs: 10_000, timeoutRetry: null, errorRetry: null } },
  // A blocking reload may be held for three target durations before the edge refuses it.
  playlistLoadPolicy: {
    default: { maxTimeToFirstByteMs: 10_000, maxLoadTimeMs: 15_000, timeoutRetry: retries(2, 0), errorRetry: retries(4, 250) },
  },
  fragLoadPolicy: {
    default: { maxTimeToFirstByteMs: 8_000, maxLoadTimeMs: 20_000, timeoutRetry: retries(3, 0), errorRetry: retries(5, 250) },
  },
};

/** Whether hls.js can play here. */
export function isHlsSupported(): boolean {
  return Hls.isSupported();
}

/** Playback by hls.js over Media Source Extensions. */
export class HlsEngine implements Engine {
  readonly #hls: Hls;
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #handlers: EngineHandlers;
  readonly #listening = new AbortController();
  #medium: Medium | null = null;
  #startDate: number | null = null;
  #chosen: number | null = null;
  /** Names of the renditions that the stream has, as far as anybody has said. */
  #offered: readonly string[] = [];
  /** The highest level that is played; null where all are. */
  #ceiling: number | null = null;
  /** Media time from which on a level that was gone has segments again; null where none is waited for. */
  #raiseAt: number | null = null;

  constructor(video: HTMLVideoElement, url: string, handlers: EngineHandlers) {
    this.#video = video;
    this.#url = url;
    this.#handlers = handlers;
    this.#hls = new Hls(CONFIG);
    // Its constructor takes this figure only with a sync position, which would override the playlist's own hold-back.
    this.#hls.config.liveMaxLatencyDurationCount = MAX_LATENCY_COUNT;
    this.#hls.on(Events.ERROR, (_event, data) => {
      if (data.response?.code === 401) handlers.onFailure("denied");
      else if (data.fatal) handlers.onFailure(classify(data));
    });
    this.#hls.on(Events.MANIFEST_PARSED, () => {
      this.#awaitDate();
      this.#chosen = null;
      this.#limit(decideOffer(this.#names, this.#offered).ceiling);
    });
    this.#hls.on(Events.FRAG_BUFFERED, () => this.#raise());
    this.#hls.on(Events.LEVEL_SWITCHED, () => this.#tellQualities());
    this.#hls.on(Events.LEVEL_LOADED, (_event, { details }) => this.#loaded(details));
    this.#hls.attachMedia(video);
    video.addEventListener("error", () => this.#elementFailed(), { signal: this.#listening.signal });
  }

  load(date: number | null): void {
    this.#startDate = date;
    this.#medium = null;
    this.#hls.loadSource(this.#url);
  }

  restart(): void {
    this.#hls.startLoad(-1);
    this.#awaitDate();
  }

  recover(swap: boolean): void {
    if (swap) this.#hls.swapAudioCodec();
    this.#hls.recoverMediaError();
  }

  halt(): void {
    this.#hls.stopLoad();
  }

  follow(edge: boolean): void {
    this.#hls.config.liveMaxLatencyDurationCount = edge ? MAX_LATENCY_COUNT : Number.POSITIVE_INFINITY;
    this.#hls.config.maxLiveSyncPlaybackRate = edge ? CATCH_UP_RATE : 1;
    if (!edge) this.#video.playbackRate = 1;
  }

  chooseQuality(index: number | null): void {
    this.#chosen = index;
    this.#hls.nextLevel = index ?? -1;
    this.#tellQualities();
  }

  offer(names: readonly string[]): boolean {
    this.#offered = names;
    const { follows, ceiling } = decideOffer(this.#names, names);
    // A level that is back has gaps where this player would go on loading: hls.js would leave it for half a minute.
    const isHigher = this.#ceiling !== null && (ceiling === null || ceiling > this.#ceiling);
    if (isHigher) this.#raiseAt = this.window?.end ?? 0;
    else this.#limit(ceiling);
    return follows;
  }

  get livePosition(): number | null {
    return this.#medium === "live" ? this.#hls.liveSyncPosition : null;
  }

  get window(): SeekWindow | null {
    const details = this.#hls.latestLevelDetails;
    return details === null ? null : { start: details.fragmentStart, end: details.edge };
  }

  get date(): number | null {
    return this.#hls.playingDate?.getTime() ?? null;
  }

  get rendition(): string | null {
    return this.#nameAt(this.#hls.currentLevel);
  }

  get #names(): (string | null)[] {
    return this.#hls.levels.map((_level, index) => this.#nameAt(index));
  }

  get latencyMs(): number | null {
    const { latency } = this.#hls;
    return this.#medium === "live" && latency > 0 ? latency * 1000 : null;
  }

  destroy(): void {
    this.#listening.abort();
    this.#hls.destroy();
  }

  #limit(ceiling: number | null): void {
    this.#raiseAt = null;
    this.#ceiling = ceiling;
    if (ceiling !== null && this.#chosen !== null && this.#chosen > ceiling) this.#chosen = null;
    LevelCap.of(this.#hls)?.limit(ceiling);
    this.#tellQualities();
  }

  /** Takes a level that is back, once all before its first segment is played: hls.js drops what is buffered of a lower one. */
  #raise(): void {
    if (this.#raiseAt === null || this.#video.currentTime < this.#raiseAt) return;
    this.#limit(decideOffer(this.#names, this.#offered).ceiling);
  }

  /** hls.js finds out that a media element is broken when it next has something to append: not at all where enough is buffered. */
  #elementFailed(): void {
    const { error } = this.#video;
    const isUnseen = () => error !== null && this.#video.error === error && !this.#listening.signal.aborted;
    window.setTimeout(() => {
      if (isUnseen()) this.#handlers.onFailure("media");
    }, UNSEEN_MS);
  }

  #loaded(details: LevelDetails): void {
    if (this.#startDate !== null) {
      const position = findDate(details.fragments, this.#startDate);
      this.#startDate = null;
      this.#hls.startLoad(position ?? -1);
    }
    const medium = details.live ? "live" : details.type === "VOD" ? "recording" : "ended";
    if (medium === this.#medium) return;
    this.#medium = medium;
    this.#handlers.onMedium(medium);
  }

  /** Where a date lies is known when its playlist is here: until then no media is fetched. A start of loading undoes it. */
  #awaitDate(): void {
    if (this.#startDate !== null) this.#hls.pauseBuffering();
  }

  /** A rendition's playlist lies in a folder of its name. */
  #nameAt(index: number): string | null {
    const address = this.#hls.levels[index]?.uri;
    return /\/([a-z0-9]{1,16})\/[^/]*$/.exec(address?.split("?")[0] ?? "")?.[1] ?? null;
  }

  #tellQualities(): void {
    const renditions = this.#hls.levels.map(({ height, frameRate, bitrate }) => ({ height, frameRate, bitrate }));
    const { currentLevel } = this.#hls;
    const ceiling = this.#ceiling ?? renditions.length;
    const qualities: Qualities = {
      choices: nameQualities(renditions).filter(({ index }) => index <= ceiling),
      chosen: this.#chosen,
      playing: currentLevel >= 0 ? currentLevel : null,
    };
    this.#handlers.onQualities(qualities);
  }
}

/** Where in the media a moment is, seconds; null where it is not listed. */
function findDate(fragments: readonly Fragment[], date: number): number | null {
  const fragment = fragments.findLast(({ programDateTime }) => programDateTime !== null && programDateTime <= date);
  if (!fragment || fragment.programDateTime === null) return null;
  return fragment.start + Math.min(fragment.duration, (date - fragment.programDateTime) / 1000);
}

const MANIFEST_FAILURES: ReadonlySet<string> = new Set([
  ErrorDetails.MANIFEST_LOAD_ERROR,
  ErrorDetails.MANIFEST_LOAD_TIMEOUT,
  ErrorDetails.MANIFEST_PARSING_ERROR,
  ErrorDetails.LEVEL_EMPTY_ERROR,
]);

function classify({ details, type, response }: ErrorData): Failure {
  // A media playlist that is gone belongs to a broadcast that is over; the manifest may know of another.
  if (response?.code === 410) return details === ErrorDetails.MANIFEST_LOAD_ERROR ? "gone" : "manifest";
  if (MANIFEST_FAILURES.has(details)) return "manifest";
  if (type === ErrorTypes.NETWORK_ERROR) return "network";
  return type === ErrorTypes.MEDIA_ERROR ? "media" : "other";
}
