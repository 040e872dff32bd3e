import type { Engine } from "./engine.ts";
import { NativeEngine } from "./native-engine.ts";
import type { PlaybackOrder } from "./playback-order.ts";
import { type Failure, type Recovery, RecoveryPolicy } from "./recovery.ts";
import { StallWatch } from "./stall-watch.ts";

/** What the picture does. `paused` also where the browser refused to start by itself; `ended` when the last frame has been shown. */
export type PlayerPhase = "idle" | "loading" | "playing" | "paused" | "stalled" | "error" | "ended";

/** What a player shows of itself. */
export interface PlayerStatus {
  phase: PlayerPhase;
  /** Within a few seconds of where a new viewer would start. */
  atLive: boolean;
}

/** `probe`: nobody has said yet whether there is a stream. */
type Goal = "probe" | "live" | "hold" | "drain" | "none";

const TICK_MS = 500;
/** How long after a repair the element's events are still its doing. */
const REPAIR_MS = 500;
const LIVE_TOLERANCE_SECONDS = 3;
/** After the end, a picture that stands still this long has shown all that it will. */
const DRAINED_MS = 3_000;

/** Plays one live stream in one video element: starts at once, recovers, follows the live edge, plays out at the end. */
export class Player {
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #onStatus: (status: PlayerStatus) => void;
  readonly #recovery = new RecoveryPolicy();
  readonly #stalls = new StallWatch();
  #engine: Engine | null = null;
  #engineAsked = false;
  #goal: Goal = "none";
  #status: PlayerStatus = { phase: "idle", atLive: false };
  #hasPlayed = false;
  /** The viewer paused, or the browser wants a gesture before it plays. */
  #awaitsViewer = false;
  #retryTimer = 0;
  #repairedAt = Number.NEGATIVE_INFINITY;
  #movedAt = 0;
  #position = 0;

  /** @param url the multivariant playlist */
  constructor(video: HTMLVideoElement, url: string, onStatus: (status: PlayerStatus) => void) {
    this.#video = video;
    this.#url = url;
    this.#onStatus = onStatus;
    this.#listen();
    window.setInterval(() => this.#tick(), TICK_MS);
  }

  /** Starts before anything is known of the stream; an order follows when it is. */
  start(): void {
    this.#goal = "probe";
    // While the engine's code is on its way, the playlist already is: the engine then finds it in the cache.
    fetch(this.#url).catch(() => {});
    void this.#reload();
  }

  /** Does what the stream's state asks for. */
  obey(order: PlaybackOrder): void {
    switch (order) {
      case "load":
        this.#goal = "live";
        this.#awaitsViewer = false;
        void this.#rebuild();
        break;
      case "resume":
        this.#goal = "live";
        if (this.#retryTimer !== 0) this.#recover({ step: this.#hasPlayed ? "restart" : "reload", delayMs: 0 });
        break;
      case "hold":
        this.#goal = "hold";
        break;
      case "drain":
        this.#goal = "drain";
        if (this.#video.ended || (this.#status.phase !== "playing" && this.#status.phase !== "stalled")) this.#halt("ended");
        break;
      case "stop":
        this.#halt("idle");
        break;
      case "none":
    }
  }

  /** Jumps to the live edge and plays. */
  goLive(): void {
    this.#awaitsViewer = false;
    const live = this.#engine?.livePosition;
    if (live !== null && live !== undefined) this.#video.currentTime = live;
    this.#play();
  }

  #rebuild(): Promise<void> {
    if (this.#engine) {
      this.#engine.destroy();
      this.#engine = null;
      this.#engineAsked = false;
    }
    return this.#reload();
  }

  async #reload(): Promise<void> {
    this.#setPhase(this.#awaitsViewer ? "paused" : "loading");
    this.#hasPlayed = false;
    if (!this.#engine) {
      if (this.#engineAsked) return;
      this.#engineAsked = true;
      const engines = await import("./hls-engine.ts").catch(() => null);
      if (!engines) {
        this.#engineAsked = false;
        return this.#failed("network");
      }
      const Kind = engines.isHlsSupported() ? engines.HlsEngine : NativeEngine;
      this.#engine = new Kind(this.#video, this.#url, (failure) => this.#failed(failure));
      if (this.#goal === "none") return;
    }
    this.#repairedAt = performance.now();
    this.#engine.load();
    this.#play();
  }

  /** Plays, unless that is the viewer's to say. */
  #play(): void {
    this.#video.autoplay = !this.#awaitsViewer;
    if (this.#awaitsViewer) return;
    this.#video.play().catch((error: unknown) => {
      // The browser wants a gesture first. Any other refusal comes from a load that replaced this one.
      if (error instanceof DOMException && error.name === "NotAllowedError") this.#awaitViewer();
    });
  }

  #failed(failure: Failure): void {
    if (this.#goal === "none") return;
    if (this.#goal === "drain") return this.#halt("ended");
    if (failure !== "manifest" && !this.#awaitsViewer) this.#setPhase("error");
    const eager = this.#goal === "live" || this.#goal === "hold";
    this.#recover(this.#recovery.decide(failure, eager, performance.now()));
  }

  #recover({ step, delayMs }: Recovery): void {
    window.clearTimeout(this.#retryTimer);
    this.#retryTimer = window.setTimeout(() => {
      this.#retryTimer = 0;
      if (this.#goal === "none") return;
      this.#repairedAt = performance.now();
      if (step === "rebuild") void this.#rebuild();
      else if (!this.#engine || step === "reload") void this.#reload();
      else if (step === "restart") this.#engine.restart();
      else this.#engine.recover(step === "swap");
      this.#play();
    }, delayMs);
  }

  #halt(phase: "idle" | "ended"): void {
    this.#goal = "none";
    window.clearTimeout(this.#retryTimer);
    this.#retryTimer = 0;
    this.#engine?.halt();
    this.#video.pause();
    this.#setPhase(phase);
  }

  #tick(): void {
    const nowMs = performance.now();
    const { currentTime } = this.#video;
    if (currentTime !== this.#position) this.#movedAt = nowMs;
    this.#position = currentTime;
    if (this.#goal === "drain" && nowMs - this.#movedAt > DRAINED_MS) return this.#halt("ended");
    const due = this.#goal === "live" && !this.#awaitsViewer && this.#retryTimer === 0;
    const step = this.#stalls.look({ nowMs, positionSeconds: currentTime, due });
    const live = this.#engine?.livePosition ?? null;
    if (step === "restart" || step === "rebuild") this.#recover({ step, delayMs: 0 });
    else if (step === "seek_live" && live !== null && live > currentTime) this.goLive();
    const atLive = this.#status.phase === "playing" && (live === null || live - currentTime < LIVE_TOLERANCE_SECONDS);
    if (atLive !== this.#status.atLive) this.#setStatus({ ...this.#status, atLive });
  }

  #listen(): void {
    const video = this.#video;
    video.addEventListener("playing", () => this.#progressed());
    video.addEventListener("timeupdate", () => {
      if (!video.paused && !video.seeking && video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA) this.#progressed();
    });
    video.addEventListener("waiting", () => {
      if (this.#status.phase !== "error") this.#setPhase(this.#hasPlayed ? "stalled" : "loading");
    });
    video.addEventListener("emptied", () => {
      if (this.#status.phase === "playing" || this.#status.phase === "stalled") this.#setPhase("loading");
    });
    video.addEventListener("play", () => {
      this.#awaitsViewer = false;
    });
    video.addEventListener("pause", () => {
      // A repair pauses too: only a picture that could go on was paused by the viewer.
      const couldPlay = video.error === null && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
      if (this.#goal === "none" || video.ended || !couldPlay || performance.now() - this.#repairedAt < REPAIR_MS) return;
      this.#awaitViewer();
    });
    video.addEventListener("ended", () => {
      // Reached before anybody said that the broadcast is over: the drain order, a moment away, sees it.
      if (this.#goal === "drain") this.#halt("ended");
    });
  }

  #awaitViewer(): void {
    this.#awaitsViewer = true;
    this.#setPhase("paused");
  }

  #progressed(): void {
    if (this.#goal === "none" || this.#video.currentTime === 0) return;
    this.#hasPlayed = true;
    this.#recovery.progressed(performance.now());
    this.#setPhase("playing");
  }

  #setPhase(phase: PlayerPhase): void {
    if (phase !== this.#status.phase) this.#setStatus({ ...this.#status, phase });
  }

  #setStatus(status: PlayerStatus): void {
    this.#status = status;
    this.#onStatus(status);
  }
}
