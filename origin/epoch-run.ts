import { computeHealth } from "../domain/broadcast/health.ts";
import type { EndReason, Heartbeat, HeartbeatInput, PublishAnswer, TracksReason } from "../domain/protocol/origin-link.ts";
import { Heartbeat as HeartbeatSchema } from "../domain/protocol/origin-link.ts";
import type { OriginConfig } from "./config.ts";
import type { ArrivedTag } from "./input-head.ts";
import type { Log } from "./log.ts";
import type { OriginMetrics } from "./metrics/origin-metrics.ts";
import type { PackagerSink } from "./package/packager.ts";
import { Pipeline, type PipelineFailure, type Taken } from "./transcode/pipeline.ts";
import { type EdgeClient, EdgeRefusal, type Lease } from "./upload/edge-client.ts";
import { retrying } from "./upload/retry.ts";
import type { Spool } from "./upload/spool.ts";
import { Uploader } from "./upload/uploader.ts";

/** How long an encoding may still go on once its input has ended. */
const ENCODING_PATIENCE_MS = 3_000;
/** How long an edge may take to get the rest of an epoch, and one that is away to come back for it. */
const DRAIN_MS = 10_000;
export const DRAIN_AWAY_MS = 30_000;
const END_TIMEOUT_MS = 20_000;

/** What every epoch of an origin shares. */
export interface EpochContext {
  edge: EdgeClient;
  spool: Spool;
  metrics: OriginMetrics;
  config: OriginConfig;
}

/** What an epoch begins with. */
export interface EpochStart {
  answer: PublishAnswer;
  /** Why it is not the connection's first; null for the first. */
  reason: TracksReason | null;
  /** Encoded renditions that the machine has no room for. */
  without: readonly string[];
  /** The encoder's clock has jumped. */
  afterJump: boolean;
  /** Seconds between the encoder's key frames, where an epoch before this one has seen them. */
  keyInterval: number | null;
}

/** What an epoch reports. */
export interface EpochEvents {
  onFailure(code: PipelineFailure, message: string): void;
  onEncodingLost(message: string): void;
  /** Somebody else holds the stream now, or nobody may. */
  onFenced(message: string): void;
}

/** One epoch of an encoder connection: its lease, what is made of its media, and the way of that to the edge. */
export class EpochRun {
  readonly lease: Lease;
  readonly answer: PublishAnswer;
  readonly #context: EpochContext;
  readonly #log: Log;
  readonly #events: EpochEvents;
  readonly #pipeline: Pipeline;
  readonly #uploader: Uploader;
  readonly #clockOffset: number;
  /** Where the epoch's first frame stands on the edge's clock, Unix ms. */
  #startedAt: number | null = null;
  #renditions: string[] = [];
  #health: Heartbeat | null = null;
  #isFenced = false;

  constructor(context: EpochContext, start: EpochStart, log: Log, events: EpochEvents) {
    const { answer, reason } = start;
    const { edge, spool, metrics, config } = context;
    this.answer = answer;
    this.lease = { stream: answer.stream_id, epoch: answer.epoch, lease: answer.lease };
    this.#context = context;
    this.#log = log;
    this.#events = events;
    this.#clockOffset = answer.now - Date.now();
    this.#uploader = new Uploader({
      edge,
      lease: this.lease,
      log,
      spool,
      onRefused: (message) => this.#fence(message),
      onUploaded: (what, seconds) => metrics.uploaded(what, seconds),
      onFailed: () => metrics.uploadFailed(),
      onGap: () => metrics.gapDeclared(),
    });
    this.#pipeline = new Pipeline({
      profile: answer.profile,
      without: start.without,
      afterJump: start.afterJump,
      keyInterval: start.keyInterval,
      maxPixels: config.maxPixels,
      maxBitrateKbps: config.maxBitrateKbps,
      videoEncoder: config.videoEncoder,
      renderDevice: config.renderDevice,
      segmentTarget: answer.segment_target,
      partTarget: answer.part_target,
      nextMsn: answer.next_msn,
      declared: answer.declared,
      runDirectory: config.runDirectory,
      log,
      sink: this.#sink(reason),
      onFailure: (code, message) => events.onFailure(code, message),
      onEncodingLost: (message) => events.onEncodingLost(message),
      onRestart: () => metrics.transcoderRestarted(),
    });
    metrics.epochOpened(reason ?? "publish");
  }

  /** Whether media has come. */
  get hasBegun(): boolean {
    return this.#startedAt !== null;
  }

  get isFenced(): boolean {
    return this.#isFenced;
  }

  /** Names of what viewers are offered; empty until it is known. */
  get renditions(): readonly string[] {
    return this.#renditions;
  }

  /** The newest heartbeat; null before the first. */
  get health(): Heartbeat | null {
    return this.#health;
  }

  /** Bytes that the edge does not have yet. */
  get waitingBytes(): number {
    const { waitingBytes, spooledBytes } = this.#uploader.status();
    return waitingBytes + spooledBytes;
  }

  get pipeline(): Pipeline {
    return this.#pipeline;
  }

  /** Takes the next tag. */
  push({ tag, media, at }: ArrivedTag): Taken {
    this.#startedAt ??= Math.max(at + this.#clockOffset, this.answer.pdt_floor ?? 0);
    return this.#pipeline.push(tag, media, performance.now() - Math.max(0, Date.now() - at));
  }

  /** Tells the edge how the stream is doing, which keeps the lease. Never rejects. */
  async heartbeat(): Promise<void> {
    const health = this.#judge(this.#pipeline.stats(performance.now()));
    this.#health = health;
    try {
      const answer = await this.#uploader.heartbeat(health);
      if (answer.action === "stop") this.#fence(answer.reason ?? "the edge asked this stream to stop");
    } catch (error) {
      if (error instanceof EdgeRefusal && error.code === "fenced") this.#fence(error.message);
      // That the edge is away is said once, by its client.
      else this.#log.debug({ error: error instanceof Error ? error.message : String(error) }, "heartbeat failed");
    }
  }

  /** No more media: brings out and uploads what there is, within `drainMs`. Never rejects. */
  async finish(drainMs = this.#context.edge.health.away ? DRAIN_AWAY_MS : DRAIN_MS): Promise<void> {
    if (this.#isFenced) return this.abandon();
    await this.#pipeline.end(ENCODING_PATIENCE_MS);
    await this.#uploader.drain(drainMs);
  }

  /** Ends at once; what is on its way is lost. */
  abandon(): void {
    this.#pipeline.kill();
    this.#uploader.abort();
  }

  /** Says to the edge that the encoder's connection is over, and why. Never rejects. */
  async end(reason: EndReason, message: string | null): Promise<void> {
    if (this.#isFenced) return;
    const signal = AbortSignal.timeout(END_TIMEOUT_MS);
    const body = { reason, message: message?.slice(0, 300) ?? null };
    try {
      await retrying(() => this.#context.edge.call(this.lease, "POST", "/end", body, signal), signal);
    } catch (error) {
      // The edge finds out by itself when the lease runs out.
      this.#log.warn({ error: error instanceof Error ? error.message : String(error) }, "the edge could not be told of the end");
    }
  }

  #judge(figures: HeartbeatInput): Heartbeat {
    const heartbeat = HeartbeatSchema.parse(figures);
    const { hasVideo, usualFps } = this.#pipeline;
    const { health, reasons } = computeHealth(heartbeat, { before: this.#health, hasVideo, usualFps });
    return { ...heartbeat, health, health_reasons: reasons };
  }

  #fence(message: string): void {
    if (this.#isFenced) return;
    this.#isFenced = true;
    this.#events.onFenced(message);
  }

  /** Carries what the packager makes to the uploader, with the epoch's place on the wall clock. */
  #sink(reason: TracksReason | null): PackagerSink {
    const uploader = this.#uploader;
    const startedAt = () => this.#startedAt ?? Date.now() + this.#clockOffset;
    const pdt = (start: number) => startedAt() + start * 1000;
    return {
      onTracks: (tracks) => {
        this.#log.info({ target_duration: tracks.target_duration, renditions: tracks.renditions }, "first frames");
        this.#renditions = tracks.renditions.map(({ name }) => name);
        uploader.tracks({ started_at: startedAt(), reason: reason ?? "input_changed", ...tracks });
      },
      onInit: (rendition, bytes) => uploader.init(rendition, bytes),
      onPart: (part) => uploader.part(part),
      onSegment: ({ start, ...segment }) => uploader.segment({ ...segment, pdt: pdt(start) }),
      onGap: ({ rendition, msn, duration, start }) => uploader.gap(rendition, msn, duration, pdt(start)),
      onWarning: (message) => this.#log.warn({}, message),
    };
  }
}
