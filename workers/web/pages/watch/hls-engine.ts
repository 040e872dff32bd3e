import Hls, { type ErrorData, ErrorDetails, ErrorTypes, Events, type HlsConfig } from "hls.js";
import type { Engine, OnFailure } from "./engine.ts";
import type { Failure } from "./recovery.ts";

/** Retries inside hls.js, before a failure becomes fatal and the page's own recovery takes over. */
function retries(maxNumRetry: number, retryDelayMs: number) {
  return { maxNumRetry, retryDelayMs, maxRetryDelayMs: 2_000, backoff: "exponential" as const };
}

const CONFIG: Partial<HlsConfig> = {
  lowLatencyMode: true,
  startFragPrefetch: true,
  // CMAF passes through untouched: a worker would cost its start and gain nothing.
  enableWorker: false,
  // Small steps, so that the pitch stays; the target is the playlist's own hold-back.
  maxLiveSyncPlaybackRate: 1.1,
  // A stall says that the line is slow, but the first one is the start itself: only several of them may cost the viewer half a second.
  liveSyncOnStallIncrease: 0.1,
  // An unbounded duration is what tells controls that this is live.
  liveDurationInfinity: true,
  backBufferLength: 20,
  maxBufferLength: 20,
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

/** Further behind than this, in target durations, a viewer is brought back to the live edge: the window ends there. */
const MAX_LATENCY_COUNT = 8;

/** Whether hls.js can play here. */
export function isHlsSupported(): boolean {
  return Hls.isSupported();
}

/** Playback by hls.js over Media Source Extensions. */
export class HlsEngine implements Engine {
  readonly #hls: Hls;
  readonly #url: string;

  constructor(video: HTMLVideoElement, url: string, onFailure: OnFailure) {
    this.#url = url;
    this.#hls = new Hls(CONFIG);
    // Its constructor takes this figure only with a sync position, which would override the playlist's own hold-back.
    this.#hls.config.liveMaxLatencyDurationCount = MAX_LATENCY_COUNT;
    this.#hls.on(Events.ERROR, (_event, data) => {
      if (data.fatal) onFailure(classify(data));
    });
    this.#hls.attachMedia(video);
  }

  load(): void {
    this.#hls.loadSource(this.#url);
  }

  restart(): void {
    this.#hls.startLoad(-1);
  }

  recover(swap: boolean): void {
    if (swap) this.#hls.swapAudioCodec();
    this.#hls.recoverMediaError();
  }

  halt(): void {
    this.#hls.stopLoad();
  }

  get livePosition(): number | null {
    return this.#hls.liveSyncPosition;
  }

  destroy(): void {
    this.#hls.destroy();
  }
}

const MANIFEST_FAILURES: ReadonlySet<string> = new Set([
  ErrorDetails.MANIFEST_LOAD_ERROR,
  ErrorDetails.MANIFEST_LOAD_TIMEOUT,
  ErrorDetails.MANIFEST_PARSING_ERROR,
  ErrorDetails.LEVEL_EMPTY_ERROR,
]);

function classify({ details, type }: ErrorData): Failure {
  if (MANIFEST_FAILURES.has(details)) return "manifest";
  if (type === ErrorTypes.NETWORK_ERROR) return "network";
  return type === ErrorTypes.MEDIA_ERROR ? "media" : "other";
}
