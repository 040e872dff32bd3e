import type { Declared, Heartbeat } from "../../domain/protocol/origin-link.ts";
import type { Log } from "../log.ts";
import { InputChanged } from "../package/input-changed.ts";
import { isIdr, repairSample } from "../package/nal.ts";
import { Packager, type PackagerSink } from "../package/packager.ts";
import { encodeFlvTag, FlvReader, type FlvTag } from "./flv.ts";
import { InputProbe, type InputTracks } from "./input.ts";
import { InputClock } from "./input-clock.ts";
import { InputStats } from "./input-stats.ts";
import { type GatedFrame, KeyGate } from "./key-gate.ts";
import { encodeAacBody, type MediaTag, parseMediaTag } from "./media-tag.ts";
import { Remux } from "./remux.ts";
import { SilenceFiller } from "./silence.ts";

/** Why a pipeline gave up. */
export type PipelineFailure = "unsupported_input" | "transcoder_failed" | "input_changed";

/** What a pipeline works with; targets in seconds. */
export interface PipelineOptions {
  segmentTarget: number;
  partTarget: number;
  /** Number of the first segment, in every rendition. */
  nextMsn: number;
  declared: Declared | null;
  /** An existing directory with a short path, for sockets. */
  runDirectory: string;
  log: Log;
  sink: PackagerSink;
  /** At most once, after everything that could be saved went to the sink; nothing comes out afterwards. `message` is for the broadcaster. */
  onFailure(code: PipelineFailure, message: string): void;
}

const MAX_HELD_TAGS = 4000;
const MAX_HELD_BYTES = 32 * 1024 * 1024;
const MAX_WARNINGS = 10;
const AUDIO_GOP_MS = 1000;

/** One encoder connection from FLV bytes to parts and segments. */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #reader = new FlvReader();
  readonly #probe = new InputProbe();
  readonly #clock = new InputClock();
  readonly #stats = new InputStats();
  #held: FlvTag[] = [];
  #heldBytes = 0;
  #tracks: InputTracks | null = null;
  #remux: Remux | null = null;
  #packager: Packager | null = null;
  #silence: SilenceFiller | null = null;
  /** Null where there is no video to wait for. */
  #gate: KeyGate | null = null;
  /** The newest video frame on the connection's clock, milliseconds. */
  #lastVideo: number | null = null;
  #audioGopMs = Number.NEGATIVE_INFINITY;
  #dropped = 0;
  #writable = true;
  #state: "open" | "ending" | "over" = "open";
  #flushed: Promise<void> = Promise.resolve();
  #outputBroken = false;
  #warnings: string[] = [];

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  /** FFmpeg's process number; null while none runs. */
  get ffmpegPid(): number | null {
    return this.#remux?.pid ?? null;
  }

  /** Takes the next bytes of the FLV stream. False where the caller should wait for `drain`. */
  write(chunk: Buffer): boolean {
    if (this.#state !== "open") return true;
    this.#writable = true;
    try {
      for (const tag of this.#reader.push(chunk)) {
        if (this.#state !== "open") break;
        if (this.#tracks === null) this.#probeTag(tag);
        else this.#feed(tag);
      }
    } catch (error) {
      this.#fail("unsupported_input", `the encoder's stream is broken: ${describe(error)}`);
    }
    return this.#writable || this.#state !== "open";
  }

  /** Settles when `write` can go on. */
  async drain(): Promise<void> {
    if (this.#state === "open") await this.#remux?.drain();
  }

  /** The encoder has gone: brings out everything that it sent. Settles when the sink has it all. */
  async end(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "ending";
      this.#flushed = this.#flush();
    }
    await this.#flushed;
    this.#state = "over";
  }

  /** Ends at once; the sink gets nothing more. */
  kill(): void {
    this.#state = "over";
    this.#remux?.kill();
  }

  /** The figures of a heartbeat; `nowMs` is `performance.now()`'s time. */
  stats(nowMs: number): Heartbeat {
    const { fps, bitrate_kbps, keyframe_interval, speed } = this.#stats.read(nowMs);
    const dropped_frames = this.#dropped + (this.#packager?.dropped ?? 0);
    return { fps, bitrate_kbps, dropped_frames, keyframe_interval, speed, warnings: [...this.#warnings] };
  }

  #probeTag(tag: FlvTag): void {
    const result = this.#probe.push(tag, performance.now());
    this.#held.push(tag);
    this.#heldBytes += tag.raw.length;
    if (result.state === "refused") this.#fail("unsupported_input", result.message);
    else if (result.state === "ready") this.#start(result.tracks);
    else if (this.#held.length > MAX_HELD_TAGS || this.#heldBytes > MAX_HELD_BYTES) {
      this.#fail("unsupported_input", "the encoder sent no configuration of its codecs");
    }
  }

  #start(tracks: InputTracks): void {
    this.#tracks = tracks;
    const { segmentTarget, partTarget, nextMsn, declared, runDirectory, log } = this.#options;
    const packager = new Packager(
      {
        video: tracks.video !== null,
        audio: tracks.audio !== null,
        nextMsn,
        segmentTarget,
        partTarget,
        declared,
        metadata: tracks.metadata,
      },
      this.#sink(),
    );
    this.#packager = packager;
    if (tracks.video !== null) this.#gate = new KeyGate();
    if (tracks.audio !== null && tracks.video !== null) this.#silence = new SilenceFiller(tracks.audio.config);
    this.#remux = new Remux(
      { tracks, runDirectory, log },
      {
        onOutput: (track, bytes) => {
          if (!this.#outputBroken) this.#package(() => (track === "video" ? packager.pushVideo(bytes) : packager.pushAudio(bytes)));
        },
        onRestart: () => {
          packager.restart();
          this.#warn("the remuxer failed and was started again");
        },
        onFailure: (message) => this.#fail("transcoder_failed", message),
      },
    );
    const held = this.#held;
    this.#held = [];
    for (const tag of held) {
      if (this.#state === "open") this.#feed(tag);
    }
  }

  #feed(tag: FlvTag): void {
    const media = parseMediaTag(tag);
    const tracks = this.#tracks;
    if (media === null || tracks === null) return;
    const track = tracks[media.type];
    if (track === null) {
      this.#warn(`the encoder began to send ${media.type} after the stream had begun: it is left out until the next connection`);
      return;
    }
    if (media.codec !== (media.type === "video" ? "H.264" : "AAC")) {
      this.#fail("input_changed", `the encoder changed its ${media.type} to ${media.codec}`);
    } else if (media.role === "config") {
      if (media.payload.length > 0 && !media.payload.equals(track.config))
        this.#fail("input_changed", `the encoder changed its ${media.type} format`);
    } else if (media.role === "frame" && media.payload.length > 0) {
      this.#feedFrame(tag, media);
    }
  }

  #feedFrame(tag: FlvTag, media: MediaTag): void {
    const nowMs = performance.now();
    const placed = this.#clock.place(media.type, tag.timestamp);
    if (placed.state === "broken") {
      this.#fail("input_changed", placed.message);
      return;
    }
    const frame = this.#readFrame(media);
    this.#stats.note({ type: media.type, timestamp: tag.timestamp, bytes: tag.raw.length, key: frame?.key ?? false }, nowMs);
    if (placed.state === "late" || frame === null) {
      this.#dropped += 1;
      return;
    }
    const { timestamp } = placed;
    if (media.type === "audio") this.#sendSilence(this.#silence?.note(timestamp) ?? []);
    else {
      this.#lastVideo = timestamp;
      this.#fillSilence(false);
    }
    this.#send({ type: media.type, timestamp, ...frame });
  }

  /** The frame as FFmpeg and players can take it; null where nothing of it can be decoded. */
  #readFrame(media: MediaTag): { body: Buffer; key: boolean } | null {
    const config = this.#tracks?.video?.config;
    if (media.type === "audio" || config === undefined) return { body: media.body, key: false };
    const lengthSize = (config.readUInt8(4) & 3) + 1;
    const payload = repairSample(media.payload, lengthSize);
    if (payload === null) return null;
    const body = payload === media.payload ? media.body : Buffer.concat([media.body.subarray(0, -media.payload.length), payload]);
    return { body, key: isIdr(payload, lengthSize) };
  }

  #fillSilence(ended: boolean): void {
    if (this.#lastVideo === null || this.#silence === null) return;
    const silence = this.#silence.fill(this.#lastVideo, ended).filter(({ timestamp }) => this.#clock.fill(timestamp));
    this.#sendSilence(silence);
    if (silence.length > 0 && !ended) this.#warn("the encoder's audio has stopped: silence takes its place");
  }

  #sendSilence(silence: { timestamp: number; frame: Buffer }[]): void {
    for (const { timestamp, frame } of silence) this.#send({ type: "audio", timestamp, body: encodeAacBody(1, frame), key: false });
  }

  #send(frame: GatedFrame): void {
    for (const { type, timestamp, body, key } of this.#gate?.push(frame) ?? [frame]) {
      let startsGop = key;
      if (this.#gate === null && timestamp - this.#audioGopMs >= AUDIO_GOP_MS) {
        this.#audioGopMs = timestamp;
        startsGop = true;
      }
      if (this.#remux?.write(encodeFlvTag(type, timestamp, body), startsGop) === false) this.#writable = false;
    }
  }

  /** What the packager throws is the input's fault or FFmpeg's, and the end of this connection. */
  #package(work: () => void): void {
    if (this.#state === "over") return;
    try {
      work();
    } catch (error) {
      this.#outputBroken = true;
      this.#fail(error instanceof InputChanged ? "input_changed" : "transcoder_failed", describe(error));
    }
  }

  #sink(): PackagerSink {
    const { sink } = this.#options;
    return {
      onTracks: (tracks) => sink.onTracks(tracks),
      onInit: (rendition, bytes) => sink.onInit(rendition, bytes),
      onPart: (part) => sink.onPart(part),
      onSegment: (segment) => sink.onSegment(segment),
      onWarning: (message) => this.#warn(message),
    };
  }

  #warn(message: string): void {
    if (this.#warnings.includes(message)) return;
    this.#warnings.push(message);
    if (this.#warnings.length > MAX_WARNINGS) this.#warnings.shift();
    this.#options.sink.onWarning(message);
  }

  async #flush(): Promise<void> {
    this.#fillSilence(true);
    await this.#remux?.stop();
    this.#package(() => this.#packager?.end());
  }

  /** Saves what there was, then reports. */
  #fail(code: PipelineFailure, message: string): void {
    if (this.#state === "over") return;
    const wasOpen = this.#state === "open";
    this.#options.log.warn({ code, reason: message }, "the pipeline gave up");
    if (!wasOpen) {
      this.kill();
      this.#options.onFailure(code, message);
      return;
    }
    this.#state = "ending";
    this.#flushed = this.#flush().then(() => {
      if (this.#state === "over") return;
      this.#state = "over";
      this.#options.onFailure(code, message);
    });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
