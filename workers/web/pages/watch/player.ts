import { bufferedMsOf } from "./buffered.ts";
import type { Engine } from "./engine.ts";
import { importEngine } from "./engine-choice.ts";
import { decideReturn, decideSeek, EDGE_TOLERANCE_SECONDS, type Place } from "./place.ts";
import type { Vitals } from "./playback-meter.ts";
import type { PlaybackOrder } from "./playback-order.ts";
import { INITIAL_STATUS, type PlayerPhase, type PlayerStatus } from "./player-status.ts";
import { NO_QUALITIES, type Qualities } from "./qualities.ts";
import { type Failure, type PassingFailure, type Recovery, RecoveryPolicy } from "./recovery.ts";
import { StallWatch } from "./stall-watch.ts";
import { computeTimeline, type Medium, sameTimeline } from "./timeline.ts";

/** What a player tells its owner. */
export interface PlayerHandlers {
  onStatus(status: PlayerStatus): void;
  /** This viewer may not watch. */
  onDenied(): void;
  /** Before anybody has said what the stream does: what its address plays is no live broadcast. */
  onOver(): void;
  /** Playback failed and is being repaired. */
  onTrouble(failure: PassingFailure): void;
}

/** `probe`: nobody has said yet whether there is a stream. `replay`: the viewer asked for the recording. */
type Goal = "probe" | "live" | "hold" | "drain" | "replay" | "none";

const TICK_MS = 500;
/** A live playlist is a second old at most. */
const CACHED_MS = 1_200;
/** How long after a repair the element's events are still its doing. */
const REPAIR_MS = 500;
/** After the end, a picture that stands still this long has shown all that it will; longer where something is left to load. */
const DRAINED_MS = 3_000;
const ABANDONED_MS = 15_000;
/** The last frames of a broadcast may never come: this close to its end nothing is left, seconds. */
const END_TOLERANCE_SECONDS = 3;

/** Plays one stream in one video element: starts at once, recovers, keeps its place at the live edge or behind it, plays out at the end. */
export class Player {
  readonly #video: HTMLVideoElement;
  readonly #url: string;
  readonly #handlers: PlayerHandlers;
  readonly #recovery = new RecoveryPolicy();
  readonly #stalls = new StallWatch();
  #engine: Engine | null = null;
  #engineAsked = false;
  #goal: Goal = "none";
  #medium: Medium | null = null;
  #place: Place = "edge";
  #status: PlayerStatus = INITIAL_STATUS;
  #hasPlayed = false;
  /** The viewer paused, or the browser wants a gesture before it plays. */
  #awaitsViewer = false;
  /** The label of the quality that the viewer chose. */
  #quality: string | null = null;
  /** When the last picture was made, Unix ms. */
  #date: number | null = null;
  #retryTimer = 0;
  #repairedAt = Number.NEGATIVE_INFINITY;
  #movedAt = 0;
  #position = 0;

  /** @param url the multivariant playlist */
  constructor(video: HTMLVideoElement, url: string, handlers: PlayerHandlers) {
    this.#video = video;
    this.#url = url;
    this.#handlers = handlers;
    this.#listen();
    window.setInterval(() => this.#tick(), TICK_MS);
  }

  /** Starts before anything is known of the stream; an order follows when it is. */
  start(): void {
    this.#goal = "probe";
    void this.#reload();
  }

  /** Does what the stream's state asks for. */
  obey(order: PlaybackOrder): void {
    switch (order) {
      case "load":
        this.#begin("live");
        break;
      case "resume":
        if (this.#goal === "none") return this.#begin("live");
        this.#goal = "live";
        if (this.#retryTimer !== 0) this.#recover({ step: this.#hasPlayed ? "restart" : "reload", delayMs: 0 });
        break;
      case "hold":
        this.#goal = "hold";
        break;
      case "drain":
        if (this.#goal !== "none") this.#goal = "drain";
        if (this.#video.ended || !this.#hasPicture) this.#halt("ended");
        break;
      case "stop":
        this.#halt("idle");
        break;
      case "none":
    }
  }

  /** Plays the recording from its start; called in a gesture of the viewer. */
  replay(): void {
    this.#begin("replay");
  }

  /** Jumps to the live edge and plays. */
  goLive(): void {
    this.#awaitsViewer = false;
    this.#settle("edge");
    const live = this.#engine?.livePosition;
    if (live !== null && live !== undefined) this.#video.currentTime = live;
    this.#play();
  }

  /** Goes on after a pause. */
  play(): void {
    void this.#video.play().catch(() => {});
  }

  /** Moves on the timeline that the status shows: to `at` seconds behind live, or from the start of what is over. */
  seek(at: number): void {
    const { timeline } = this.#status;
    const window = this.#engine?.window;
    if (!timeline || !window) return;
    const live = this.#engine?.livePosition ?? window.end;
    this.#seekTo(timeline.kind === "live" ? live - at : window.start + at);
  }

  /** Moves by some seconds, back where negative. */
  seekBy(seconds: number): void {
    if (this.#status.timeline !== null) this.#seekTo(this.#video.currentTime + seconds);
  }

  /** Plays one of the status's qualities, or chooses by itself: null. */
  chooseQuality(index: number | null): void {
    this.#quality = this.#status.qualities.choices.find((quality) => quality.index === index)?.label ?? null;
    this.#engine?.chooseQuality(index);
  }

  /** The stream has these renditions now: what plays from a list that lacks one begins anew, when no cache has that list any more. */
  renditionsAre(names: readonly string[]): void {
    const follows = this.#engine?.offer(names) ?? true;
    const plays = this.#status.phase === "playing" || this.#status.phase === "stalled";
    if (this.#goal === "live" && plays && !follows) this.#recover({ step: "reload", delayMs: CACHED_MS });
  }

  /** How playback does at this moment. */
  get vitals(): Vitals {
    return {
      phase: this.#status.phase,
      isSeeking: this.#video.seeking,
      rendition: this.#engine?.rendition ?? null,
      bufferedMs: bufferedMsOf(this.#video),
      latencyMs: this.#engine?.latencyMs ?? null,
    };
  }

  /** What the viewer sees, moving or not. */
  get #hasPicture(): boolean {
    const { phase } = this.#status;
    return phase === "playing" || phase === "stalled" || (phase === "paused" && this.#hasPlayed);
  }

  #begin(goal: "live" | "replay"): void {
    this.#goal = goal;
    this.#awaitsViewer = false;
    this.#place = "edge";
    this.#date = null;
    this.#setStatus({ ...this.#status, replaying: goal === "replay", phase: "loading", timeline: null });
    void this.#rebuild();
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
      const Kind = await importEngine().catch(() => null);
      if (!Kind) {
        this.#engineAsked = false;
        return this.#failed("network");
      }
      this.#engine = new Kind(this.#video, this.#url, {
        onFailure: (failure) => this.#failed(failure),
        onMedium: (medium) => this.#playsMedium(medium),
        onQualities: (qualities) => this.#hasQualities(qualities),
      });
      if (this.#goal === "none") return;
    }
    this.#repairedAt = performance.now();
    this.#medium = null;
    this.#engine.follow(this.#place === "edge");
    this.#engine.load(this.#place === "behind" || this.#goal === "replay" ? this.#date : null);
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

  #playsMedium(medium: Medium): void {
    const before = this.#medium;
    this.#medium = medium;
    if (medium === "live" || before === "live") return;
    if (this.#goal === "probe") {
      this.#halt("idle");
      this.#handlers.onOver();
    } else if (this.#goal === "live" || this.#goal === "hold") {
      // A cache on the way still has the broadcast before this one.
      this.#engine?.halt();
      this.#failed("manifest");
    }
  }

  #hasQualities(qualities: Qualities): void {
    this.#setStatus({ ...this.#status, qualities });
    // A player that starts anew knows nothing of the viewer's choice.
    const wanted = qualities.choices.find(({ label }) => label === this.#quality);
    if (wanted && qualities.chosen === null) this.#engine?.chooseQuality(wanted.index);
  }

  #failed(failure: Failure): void {
    if (this.#goal === "none") return;
    if (failure === "denied") {
      this.#halt("idle");
      return this.#handlers.onDenied();
    }
    if (this.#goal === "drain" && (failure === "gone" || this.#isAtEnd())) return this.#halt("ended");
    const isExpected = this.#goal === "live" || this.#goal === "hold";
    if (failure === "gone" && !isExpected) {
      const wasProbe = this.#goal === "probe";
      this.#halt("ended");
      return wasProbe ? this.#handlers.onOver() : undefined;
    }
    // Whoever says that the stream is live knows better than an answer that says it is over.
    const passing = failure === "gone" ? "manifest" : failure;
    if (passing !== "manifest" && !this.#awaitsViewer) this.#setPhase("error");
    if (passing !== "manifest") this.#handlers.onTrouble(passing);
    this.#recover(this.#recovery.decide(passing, isExpected, performance.now()));
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
    this.#video.autoplay = false;
    this.#video.pause();
    this.#setStatus({ ...this.#status, phase, atLive: false, timeline: null, qualities: NO_QUALITIES });
  }

  #seekTo(target: number): void {
    const { engine, video } = { engine: this.#engine, video: this.#video };
    if (!engine?.window) return;
    const { place, seekTo } = decideSeek(target, engine.window, engine.livePosition);
    this.#settle(place);
    video.currentTime = seekTo;
    this.#movedAt = performance.now();
    this.#showPlace();
  }

  #settle(place: Place): void {
    this.#place = place;
    this.#engine?.follow(place === "edge" && !this.#awaitsViewer);
  }

  #tick(): void {
    const nowMs = performance.now();
    const { currentTime } = this.#video;
    if (currentTime !== this.#position || this.#awaitsViewer) this.#movedAt = nowMs;
    this.#position = currentTime;
    // Who pauses just after a repair is heard late.
    if (!this.#awaitsViewer && this.#status.phase === "playing" && this.#isPausedByViewer()) this.#awaitViewer();
    if (this.#hasPicture) this.#date = this.#engine?.date ?? this.#date;
    const patience = this.#isAtEnd() ? DRAINED_MS : ABANDONED_MS;
    if (this.#goal === "drain" && nowMs - this.#movedAt > patience) return this.#halt("ended");
    const due = this.#goal === "live" && !this.#awaitsViewer && this.#retryTimer === 0;
    const step = this.#stalls.look({ nowMs, positionSeconds: currentTime, due });
    const live = this.#engine?.livePosition ?? null;
    if (step === "restart" || step === "rebuild") this.#recover({ step, delayMs: 0 });
    else if (step === "seek_live" && this.#place === "edge" && live !== null && live > currentTime) this.goLive();
    // The window left him behind, and the engine brought him to the edge.
    if (this.#place === "behind" && !this.#awaitsViewer && live !== null && currentTime > live - 1) this.#settle("edge");
    this.#showPlace();
  }

  #showPlace(): void {
    const { currentTime } = this.#video;
    const live = this.#engine?.livePosition ?? null;
    const isHeld = this.#status.phase === "playing" && this.#place === "edge";
    const atLive = isHeld && (live === null || live - currentTime < EDGE_TOLERANCE_SECONDS);
    const canMove = this.#hasPicture || this.#status.timeline !== null;
    const timeline = canMove ? computeTimeline(this.#medium, currentTime, this.#engine?.window ?? null, live) : null;
    if (atLive === this.#status.atLive && sameTimeline(timeline, this.#status.timeline)) return;
    this.#setStatus({ ...this.#status, atLive, timeline });
  }

  #isAtEnd(): boolean {
    const end = this.#engine?.window?.end;
    return end === undefined || end - this.#video.currentTime < END_TOLERANCE_SECONDS;
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
    video.addEventListener("play", () => this.#returned());
    video.addEventListener("pause", () => {
      if (this.#isPausedByViewer()) this.#awaitViewer();
    });
    video.addEventListener("ended", () => {
      // Reached before anybody said that the broadcast is over: the drain order, a moment away, sees it.
      if (this.#goal === "drain" || this.#goal === "replay") this.#halt("ended");
    });
  }

  /** A repair pauses too: only a picture that could go on was paused by the viewer. */
  #isPausedByViewer(): boolean {
    const { paused, ended, error, readyState } = this.#video;
    const couldPlay = error === null && readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    return this.#goal !== "none" && paused && !ended && couldPlay && performance.now() - this.#repairedAt >= REPAIR_MS;
  }

  /** The picture stands until the viewer says otherwise, and nobody moves it away under him. */
  #awaitViewer(): void {
    this.#awaitsViewer = true;
    this.#settle(this.#place);
    this.#setPhase("paused");
  }

  #returned(): void {
    if (!this.#awaitsViewer) return;
    this.#awaitsViewer = false;
    if (this.#goal !== "live" && this.#goal !== "hold" && this.#goal !== "probe") return;
    const live = this.#engine?.livePosition ?? null;
    // Who has seen nothing yet misses nothing.
    if (!this.#hasPlayed) return this.goLive();
    const { place, seekTo } = decideReturn(this.#video.currentTime, this.#engine?.window ?? null, live);
    this.#settle(place);
    if (seekTo !== null) this.#video.currentTime = seekTo;
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
    this.#handlers.onStatus(status);
  }
}
