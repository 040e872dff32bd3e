import type { Log } from "../log.ts";
import type { AudioInit, VideoInit } from "../package/init.ts";
import type { Sample } from "../package/sample.ts";
import { Ffmpeg } from "./ffmpeg.ts";
import { encodeFlvTag } from "./flv.ts";
import { GopCache, type InputTag } from "./gop-cache.ts";
import { LockStep } from "./lock-step.ts";
import { RenditionOutput } from "./rendition-output.ts";
import { AUDIO_OUTPUT, buildJob, encodeHead, SILENT_MP3_BODY, type TranscodeStart, type TranscodeTask } from "./transcode-job.ts";

/** What a transcoder reports. */
export interface TranscoderEvents {
  /** Once a rendition, before its first sample. */
  onInit(rendition: string, init: VideoInit | AudioInit): void;
  /** Frames of a rendition, in order; nothing comes twice and no time goes back, whatever happens to FFmpeg. */
  onSample(rendition: string, sample: Sample): void;
  /** FFmpeg failed and a fresh one takes over. */
  onRestart(): void;
  /** The transcoder is over, by no wish of the caller; once. */
  onFailure(message: string): void;
}

const MAX_RESTARTS = 3;
const RESTART_WINDOW_MS = 30_000;
const SILENCE_MS = 4000;
const WATCH_EVERY_MS = 1000;
/** A frame or two wait in FFmpeg for the next; more than that and it owes an output. */
const FRAMES_IT_MAY_HOLD = 3;
/** A machine that is busy takes a second to start a process; one that hangs must not hold up the end for long. */
const STOP_PATIENCE_MS = 3000;
const IDLE_MS = 2000;
const AUDIO_GOP_MS = 1000;
/** A fresh FFmpeg reads from this much before where it goes on: the tracks are never quite level. */
const REREAD_MS = 500;
/** Audio may begin before the first picture, and an encoder puts its warming up before that. */
const LEAD_MS = 2000;
const LONGEST_WAIT_FOR_AUDIO_MS = 2000;
const STAND_IN_MS = 1000;

/** Encodes the rungs of a ladder, and audio that has to be made: one FFmpeg for one connection, started again where it dies or falls silent. */
export class Transcoder {
  readonly #task: TranscodeTask;
  readonly #runDirectory: string;
  readonly #log: Log;
  readonly #events: TranscoderEvents;
  readonly #cache = new GopCache();
  readonly #lockStep: LockStep;
  readonly #watch: NodeJS.Timeout;
  readonly #inits = new Map<string, VideoInit | AudioInit>();
  /** Milliseconds up to which each rendition has come out of FFmpeg, and the newest that went in. */
  readonly #reachedMs = new Map<string, number>();
  #newestMs: number | null = null;
  #firstPictureMs: number | null = null;
  #deliveredMs: number | null = null;
  #pictureMs = 0;
  #deliveredAudio: TranscodeStart["deliveredAudio"] = null;
  #audioGopMs = Number.NEGATIVE_INFINITY;
  #lastAudio: InputTag | null = null;
  #process: Ffmpeg | null = null;
  #outputs = new Map<string, RenditionOutput>();
  #baseMs = 0;
  #isFull = false;
  #starting = false;
  #restartsAtMs: number[] = [];
  #state: "running" | "stopping" | "over" = "running";
  #lastInputMs = 0;
  #lastOutputMs = 0;
  #framesSinceOutput = 0;
  #onDrain: (() => void)[] = [];
  #onOver: () => void = () => {};
  readonly #over: Promise<void>;

  /** FFmpeg starts with the first frame; `runDirectory` must exist and have a short path. */
  constructor(options: TranscodeTask & { runDirectory: string; log: Log }, events: TranscoderEvents) {
    this.#task = options;
    this.#runDirectory = options.runDirectory;
    this.#log = options.log;
    this.#events = events;
    this.#lockStep = new LockStep(options.rungs.map((rung) => rung.name));
    this.#over = new Promise((resolve) => {
      this.#onOver = resolve;
    });
    this.#watch = setInterval(() => this.#lookForSilence(), WATCH_EVERY_MS);
    this.#watch.unref();
  }

  /** FFmpeg's process number; null while none runs. */
  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  /** Bytes that no FFmpeg has taken yet; at most 16 MiB and a little. */
  get backlog(): number {
    return this.#cache.waitingBytes + (this.#process?.backlog ?? 0);
  }

  /** Frames that were never encoded, because FFmpeg did not keep up. */
  get skipped(): number {
    return this.#cache.skipped;
  }

  /**
   * Takes a frame: the body of a legacy FLV tag, milliseconds on the connection's clock, rising in each track. False where a caller that can wait
   * should wait for `drain`; one that does not may go on, and loses whole GOPs where FFmpeg stays more than 10 s or 16 MiB behind.
   */
  write(type: "video" | "audio", timestampMs: number, body: Buffer, startsGop: boolean): boolean {
    const usesVideo = this.#task.rungs.length > 0;
    if (this.#state !== "running" || (type === "video" ? !usesVideo : !this.#task.audio)) return true;
    const tag: InputTag = {
      type,
      timestamp: timestampMs,
      body,
      startsGop: usesVideo ? type === "video" && startsGop : this.#isAudioGop(timestampMs),
    };
    if (tag.startsGop) {
      if (usesVideo) this.#firstPictureMs ??= presentationMs(tag);
      this.#cache.forget(this.#settledUntil() - REREAD_MS);
    }
    this.#lastInputMs = performance.now();
    this.#newestMs = Math.max(this.#newestMs ?? timestampMs, timestampMs);
    if (this.#cache.push(tag) && type === "audio") this.#lastAudio = tag;
    this.#feed();
    return this.#isReady;
  }

  /** Settles when more can be written, or nothing matters any more. */
  drain(): Promise<void> {
    if (this.#state === "over" || this.#isReady) return Promise.resolve();
    return new Promise((resolve) => this.#onDrain.push(resolve));
  }

  /** How far the slowest rendition is behind the input, milliseconds; 0 when nothing comes in. A frame or two are always on their way. */
  progress(): { lagMs: number } {
    if (this.#newestMs === null || (this.#cache.waitingBytes === 0 && performance.now() - this.#lastInputMs > IDLE_MS)) return { lagMs: 0 };
    const { rungs } = this.#task;
    const names = rungs.length > 0 ? rungs.map((rung) => rung.name) : [AUDIO_OUTPUT];
    const slowest = Math.min(...names.map((name) => this.#reachedMs.get(name) ?? this.#firstPictureMs ?? this.#newestMs ?? 0));
    return { lagMs: Math.max(0, this.#newestMs - slowest) };
  }

  /** Lets FFmpeg finish what it has been given, for as long as it makes progress, and ends it. */
  async stop(): Promise<void> {
    if (this.#state === "running") {
      this.#state = "stopping";
      this.#lastOutputMs = performance.now();
      if (this.#process === null && !this.#starting) this.kill();
      this.#feed();
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
    this.#resumeWriters();
    this.#onOver();
  }

  /** Where FFmpeg cannot begin yet, more input is what it needs. */
  get #isReady(): boolean {
    return this.#cache.waitingBytes === 0 || (this.#process === null && !this.#starting);
  }

  #isAudioGop(timestampMs: number): boolean {
    if (timestampMs - this.#audioGopMs < AUDIO_GOP_MS) return false;
    this.#audioGopMs = timestampMs;
    return true;
  }

  /** Every rendition has been delivered up to there, milliseconds: what lies before it is never read again. */
  #settledUntil(): number {
    const { rungs, audio } = this.#task;
    const video = rungs.length > 0 ? (this.#deliveredMs ?? 0) : Number.POSITIVE_INFINITY;
    const { samples, sampleRate } = this.#deliveredAudio ?? { samples: 0, sampleRate: 1 };
    return Math.min(video, audio ? (samples / sampleRate) * 1000 : Number.POSITIVE_INFINITY);
  }

  /** From the first picture to the first one that is still owed: the one that is held, or, where none is, the one that comes next. */
  #elapsedMs(): number {
    const deliveredMs = this.#deliveredMs;
    if (deliveredMs === null || this.#firstPictureMs === null) return 0;
    const owed = this.#cache
      .list()
      .flatMap((tag) => (tag.type === "video" && presentationMs(tag) > deliveredMs ? [presentationMs(tag)] : []));
    return (owed.length > 0 ? Math.min(...owed) : deliveredMs + this.#pictureMs) - this.#firstPictureMs;
  }

  #feed(): void {
    const process = this.#process;
    if (process === null) {
      if (!this.#starting && this.#canStart()) void this.#start();
      return;
    }
    while (!this.#isFull) {
      const tag = this.#cache.read();
      if (tag === null) break;
      this.#framesSinceOutput += 1;
      this.#isFull = !process.write(encodeFlvTag(tag.type, tag.timestamp - this.#baseMs, tag.body));
    }
    if (this.#cache.waitingBytes > 0) return;
    if (this.#state === "stopping") process.end();
    this.#resumeWriters();
  }

  /** FFmpeg refuses a track of which it has seen nothing: MP3, which has no configuration, must have begun. */
  get #needsAudioFirst(): boolean {
    return this.#task.audio && this.#task.input.audio?.config == null;
  }

  #canStart(): boolean {
    const first = this.#cache.peek;
    if (first === null) return false;
    return !this.#needsAudioFirst || this.#lastAudio !== null || (this.#newestMs ?? 0) - first.timestamp > LONGEST_WAIT_FOR_AUDIO_MS;
  }

  /** Where none is held, an old frame stands in, so early that it plays no part, or silence where none has ever come. */
  #writeFirstAudio(process: Ffmpeg): void {
    const held = this.#cache.take("audio");
    const firstMs = this.#cache.peek?.timestamp ?? this.#baseMs;
    const timestamp = held?.timestamp ?? (this.#lastAudio === null ? firstMs : Math.max(this.#baseMs, firstMs - STAND_IN_MS));
    const { body } = held ?? this.#lastAudio ?? { body: SILENT_MP3_BODY };
    process.write(encodeFlvTag("audio", timestamp - this.#baseMs, body));
  }

  async #start(): Promise<void> {
    this.#starting = true;
    try {
      const first = this.#cache.peek?.timestamp ?? 0;
      this.#baseMs = Math.max(0, Math.floor((first - LEAD_MS) / 1000) * 1000);
      const job = buildJob(this.#task, {
        baseMs: this.#baseMs,
        elapsedMs: this.#elapsedMs(),
        deliveredMs: this.#deliveredMs,
        deliveredAudio: this.#deliveredAudio,
      });
      const process: Ffmpeg = await Ffmpeg.start(this.#runDirectory, job, {
        onOutput: (name, bytes) => this.#onOutput(process, name, bytes),
        onDrain: () => {
          if (process !== this.#process) return;
          this.#isFull = false;
          this.#feed();
        },
        onExit: (error, lastWords) => this.#onExit(error, lastWords),
      });
      this.#starting = false;
      this.#process = process;
      if (this.#state === "over") {
        process.kill();
        return;
      }
      this.#outputs = new Map(job.outputs.map(({ name }) => [name, new RenditionOutput(this.#baseMs)]));
      this.#lastOutputMs = performance.now();
      this.#framesSinceOutput = 0;
      this.#isFull = false;
      process.write(encodeHead(this.#task));
      if (this.#needsAudioFirst) this.#writeFirstAudio(process);
      this.#feed();
    } catch (error) {
      this.#fail(`FFmpeg could not be started: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #onOutput(process: Ffmpeg, name: string, bytes: Buffer): void {
    const output = this.#outputs.get(name);
    if (this.#state === "over" || process !== this.#process || output === undefined) return;
    this.#lastOutputMs = performance.now();
    this.#framesSinceOutput = 0;
    try {
      const samples = output.push(bytes);
      const { init } = output;
      if (init === null) return;
      this.#takeInit(name, init);
      for (const sample of samples) this.#take(name, init, sample);
    } catch (error) {
      this.#log.warn({ rendition: name, reason: error instanceof Error ? error.message : String(error) }, "FFmpeg's output is broken");
      process.kill();
    }
  }

  #takeInit(name: string, init: VideoInit | AudioInit): void {
    const known = this.#inits.get(name);
    if (known === undefined) {
      this.#inits.set(name, init);
      this.#events.onInit(name, init);
    } else if (known !== init && !known.bytes.equals(init.bytes)) {
      throw new Error("it no longer fits to what came before");
    } else this.#inits.set(name, init);
  }

  #take(name: string, init: VideoInit | AudioInit, sample: Sample): void {
    const ms = (ticks: number) => (ticks * 1000) / init.timescale;
    this.#reachedMs.set(name, Math.max(this.#reachedMs.get(name) ?? 0, ms(sample.dts + sample.duration)));
    if (init.kind === "audio") {
      if (sample.dts < (this.#deliveredAudio?.samples ?? Number.NEGATIVE_INFINITY)) return;
      this.#deliveredAudio = { samples: sample.dts + sample.duration, sampleRate: init.timescale };
      this.#events.onSample(name, sample);
      return;
    }
    for (const [rung, ready] of this.#lockStep.push(name, sample)) {
      this.#deliveredMs = Math.max(this.#deliveredMs ?? 0, Math.round(ms(ready.dts + ready.compositionOffset)));
      this.#pictureMs = ms(ready.duration);
      this.#events.onSample(rung, ready);
    }
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
    this.#lockStep.clear();
    this.#cache.forget(this.#settledUntil() - REREAD_MS);
    this.#cache.rewind();
    this.#events.onRestart();
    this.#feed();
  }

  #lookForSilence(): void {
    const nowMs = performance.now();
    if (this.#state !== "running" || this.#process === null || nowMs - this.#lastOutputMs < SILENCE_MS) return;
    const isFed = nowMs - this.#lastInputMs <= WATCH_EVERY_MS && this.#framesSinceOutput > FRAMES_IT_MAY_HOLD;
    if (!isFed && this.#cache.waitingBytes === 0) return;
    this.#log.warn({ silent_ms: Math.round(nowMs - this.#lastOutputMs) }, "FFmpeg fell silent");
    this.#process.kill();
  }

  #resumeWriters(): void {
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

/** An AVC tag's timestamp is that of decoding. */
function presentationMs({ timestamp, body }: InputTag): number {
  return timestamp + body.readIntBE(2, 3);
}
