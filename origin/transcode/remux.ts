import type { Log } from "../log.ts";
import { Ffmpeg } from "./ffmpeg.ts";
import { encodeFlvHeader, encodeFlvTag } from "./flv.ts";
import { GopCache } from "./gop-cache.ts";
import type { InputTracks } from "./input.ts";
import { encodeAacBody } from "./media-tag.ts";

/** What a remux reports. */
export interface RemuxEvents {
  onOutput(track: "video" | "audio", bytes: Buffer): void;
  /** A fresh FFmpeg takes over; its output begins anew and repeats some of what there was. */
  onRestart(): void;
  /** The remux is over, by no wish of the caller; once. */
  onFailure(message: string): void;
}

const MAX_BACKLOG_BYTES = 16 * 1024 * 1024;
const MAX_RESTARTS = 3;
const RESTART_WINDOW_MS = 30_000;
const SILENCE_MS = 5000;
const WATCH_EVERY_MS = 1000;
/** A machine that is busy takes a second to start a process; one that hangs must not hold up the end for long. */
const STOP_PATIENCE_MS = 3000;

/** Keeps an FFmpeg running for one encoder connection: restarts it where it dies or falls silent, and gives up when that does not help. */
export class Remux {
  readonly #tracks: InputTracks;
  readonly #runDirectory: string;
  readonly #log: Log;
  readonly #events: RemuxEvents;
  readonly #cache = new GopCache();
  readonly #head: Buffer;
  readonly #watch: NodeJS.Timeout;
  #process: Ffmpeg | null = null;
  /** Tags that wait for a process to start. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #restartsAtMs: number[] = [];
  #state: "running" | "stopping" | "over" = "running";
  #lastInputMs = 0;
  #lastOutputMs: number;
  #onDrain: (() => void)[] = [];
  #onOver: () => void = () => {};
  readonly #over: Promise<void>;

  /** Starts at once; `runDirectory` must exist and have a short path. */
  constructor(remux: { tracks: InputTracks; runDirectory: string; log: Log }, events: RemuxEvents) {
    this.#tracks = remux.tracks;
    this.#runDirectory = remux.runDirectory;
    this.#log = remux.log;
    this.#events = events;
    this.#head = encodeHead(remux.tracks);
    this.#lastOutputMs = performance.now();
    this.#over = new Promise((resolve) => {
      this.#onOver = resolve;
    });
    this.#watch = setInterval(() => this.#lookForSilence(), WATCH_EVERY_MS);
    this.#watch.unref();
    void this.#start();
  }

  /** FFmpeg's process number; null while none runs. */
  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  /** Feeds one tag; `startsGop` where decoding can begin with it. False where the caller should wait for `drain`. */
  write(tag: Buffer, startsGop: boolean): boolean {
    if (this.#state !== "running") return true;
    this.#lastInputMs = performance.now();
    this.#cache.push(tag, startsGop);
    const { backlog } = this;
    if (backlog > MAX_BACKLOG_BYTES) {
      this.#fail(`FFmpeg fell ${Math.round(backlog / 1024 / 1024)} MiB behind the encoder`);
      return true;
    }
    if (this.#process !== null) return this.#process.write(tag);
    this.#waiting.push(tag);
    this.#waitingBytes += tag.length;
    return false;
  }

  /** Bytes that no FFmpeg has taken yet. */
  get backlog(): number {
    return this.#waitingBytes + (this.#process?.backlog ?? 0);
  }

  /** Settles when more can be written, or nothing matters any more. */
  drain(): Promise<void> {
    return this.#state === "over" ? Promise.resolve() : new Promise((resolve) => this.#onDrain.push(resolve));
  }

  /** Lets FFmpeg finish what it has been given, for as long as it makes progress, and ends it. */
  async stop(): Promise<void> {
    if (this.#state === "running") {
      this.#state = "stopping";
      this.#lastOutputMs = performance.now();
      this.#process?.end();
    }
    while (this.#state !== "over") {
      const left = this.#lastOutputMs + STOP_PATIENCE_MS - performance.now();
      if (left <= 0) {
        this.kill();
        return;
      }
      let timer: NodeJS.Timeout | undefined;
      const waited = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, left);
      });
      await Promise.race([this.#over, waited]);
      clearTimeout(timer);
    }
  }

  /** Ends FFmpeg at once; nothing is reported afterwards. */
  kill(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    clearInterval(this.#watch);
    this.#process?.kill();
    this.#waiting = [];
    this.#drained();
    this.#onOver();
  }

  async #start(): Promise<void> {
    this.#lastOutputMs = performance.now();
    try {
      const { video, audio } = this.#tracks;
      const process: Ffmpeg = await Ffmpeg.start(
        this.#runDirectory,
        { video: video !== null, audio: audio !== null },
        {
          onOutput: (track, bytes) => this.#onOutput(process, track, bytes),
          onDrain: () => this.#drained(),
          onExit: (error, lastWords) => this.#onExit(error, lastWords),
        },
      );
      this.#process = process;
      if (this.#state === "over") {
        process.kill();
        return;
      }
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      process.write(this.#head);
      for (const tag of waiting) process.write(tag);
      if (this.#state === "stopping") process.end();
      this.#drained();
    } catch (error) {
      this.#fail(`FFmpeg could not be started: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #onOutput(process: Ffmpeg, track: "video" | "audio", bytes: Buffer): void {
    if (this.#state === "over" || process !== this.#process) return;
    this.#lastOutputMs = performance.now();
    this.#events.onOutput(track, bytes);
  }

  #onExit(error: string | null, lastWords: string[]): void {
    this.#process = null;
    if (this.#state === "over") return;
    if (this.#state === "stopping") {
      if (error !== null) this.#log.warn({ error, ffmpeg: lastWords }, "FFmpeg did not end well");
      this.kill();
      return;
    }
    const nowMs = performance.now();
    this.#restartsAtMs = this.#restartsAtMs.filter((atMs) => atMs > nowMs - RESTART_WINDOW_MS);
    this.#log.warn({ error, ffmpeg: lastWords, restarts: this.#restartsAtMs.length }, "FFmpeg ended while its encoder went on");
    if (this.#restartsAtMs.length >= MAX_RESTARTS) {
      this.#fail(`FFmpeg failed ${MAX_RESTARTS + 1} times in ${RESTART_WINDOW_MS / 1000} s`);
      return;
    }
    this.#restartsAtMs.push(nowMs);
    this.#waiting = this.#cache.list();
    this.#waitingBytes = this.#waiting.reduce((sum, tag) => sum + tag.length, 0);
    this.#events.onRestart();
    void this.#start();
  }

  #lookForSilence(): void {
    const nowMs = performance.now();
    if (this.#state !== "running" || this.#process === null) return;
    if (nowMs - this.#lastOutputMs < SILENCE_MS || nowMs - this.#lastInputMs > WATCH_EVERY_MS) return;
    this.#log.warn({ silent_ms: Math.round(nowMs - this.#lastOutputMs) }, "FFmpeg fell silent");
    this.#process.kill();
  }

  #drained(): void {
    const waiters = this.#onDrain;
    this.#onDrain = [];
    for (const resume of waiters) resume();
  }

  #fail(message: string): void {
    if (this.#state === "over") return;
    this.kill();
    this.#events.onFailure(message);
  }
}

/** What every FFmpeg must read first: the header, and the decoder configuration of each track. */
function encodeHead(tracks: InputTracks): Buffer {
  const { video, audio } = tracks;
  const head = [encodeFlvHeader({ video: video !== null, audio: audio !== null })];
  if (video !== null) head.push(encodeFlvTag("video", 0, Buffer.concat([Buffer.from([0x17, 0, 0, 0, 0]), video.config])));
  if (audio !== null) head.push(encodeFlvTag("audio", 0, encodeAacBody(0, audio.config)));
  return Buffer.concat(head);
}
