import { setTimeout as sleep } from "node:timers/promises";
import type { EndReason, Heartbeat, PublishAnswer, Track } from "../domain/protocol/origin-link.ts";
import { HeartbeatAnswer } from "../domain/protocol/origin-link.ts";
import type { Publication } from "./ingest/publication.ts";
import type { Log } from "./log.ts";
import type { PackagerSink } from "./package/packager.ts";
import { Pipeline } from "./transcode/pipeline.ts";
import { type EdgeClient, EdgeRefusal, type Lease } from "./upload/edge-client.ts";
import { retrying } from "./upload/retry.ts";
import { Uploader } from "./upload/uploader.ts";

const HEARTBEAT_MS = 1_000;
/** The first sign of frames goes out early, so that the stream shows as live within a second. */
const FIRST_HEARTBEAT_MS = 250;
/** The ingest refuses an encoder that is not answered for 8 s. */
const PUBLISH_TIMEOUT_MS = 6_000;
const PUMP_TIMEOUT_MS = 2_000;
const DRAIN_MS = 10_000;
const END_TIMEOUT_MS = 20_000;

/** What every session of an origin shares. */
export interface SessionContext {
  edge: EdgeClient;
  originId: string;
  runDirectory: string;
  log: Log;
}

interface Ending {
  reason: EndReason;
  message: string | null;
}

/** One encoder connection, from its publish to its end: asks the edge, packages, uploads, and says how it ended. */
export class Session {
  readonly #context: SessionContext;
  readonly #publication: Publication;
  readonly #ending = Promise.withResolvers<Ending>();
  #fenced = false;
  #pipeline: Pipeline | null = null;

  constructor(context: SessionContext, publication: Publication) {
    this.#context = context;
    this.#publication = publication;
  }

  /** Process id of the session's FFmpeg; null where none runs. */
  get transcoderPid(): number | null {
    return this.#pipeline?.ffmpegPid ?? null;
  }

  /** Ends the session from our side; the encoder is told why. */
  stop(reason: EndReason, message: string): void {
    this.#ending.resolve({ reason, message });
  }

  /** Runs to the end. Never rejects. */
  async run(): Promise<void> {
    const answer = await this.#askEdge();
    if (answer === null) return;
    const lease: Lease = { stream: answer.stream_id, epoch: answer.epoch, lease: answer.lease };
    const log = child(this.#context.log, { stream: answer.stream_id, epoch: answer.epoch });
    log.info(
      { broadcast: answer.broadcast, software: this.#publication.software, remote: this.#publication.remoteAddress },
      "publish accepted",
    );
    try {
      await this.#live(answer, lease, log);
    } catch (error) {
      log.error({ error: String(error) }, "session failed");
      this.#publication.stop("The origin failed: try again.");
    }
  }

  async #askEdge(): Promise<PublishAnswer | null> {
    const { edge, originId, log } = this.#context;
    const publication = this.#publication;
    const request = {
      stream_key: publication.streamKey,
      origin_id: originId,
      encoder: { software: publication.software, address: publication.remoteAddress },
    };
    const signal = AbortSignal.timeout(PUBLISH_TIMEOUT_MS);
    try {
      return await retrying(() => edge.publish(request, signal), signal);
    } catch (error) {
      const refused = error instanceof EdgeRefusal;
      const message = refused ? error.message : "the platform cannot be reached right now: try again in a few seconds";
      log.warn({ remote: publication.remoteAddress, code: refused ? error.code : "unavailable", error: message }, "publish refused");
      publication.refuse(message);
      return null;
    }
  }

  async #live(answer: PublishAnswer, lease: Lease, log: Log): Promise<void> {
    const { edge } = this.#context;
    const publication = this.#publication;
    const uploader = new Uploader({ edge, lease, log, onRefused: (message) => this.#fence(message) });
    const clockOffset = answer.now - Date.now();
    let startedAt = Math.max(Date.now() + clockOffset, answer.pdt_floor ?? 0);
    const pipeline = new Pipeline({
      segmentTarget: answer.segment_target,
      partTarget: answer.part_target,
      nextMsn: answer.next_msn,
      declared: answer.declared,
      runDirectory: this.#context.runDirectory,
      log,
      sink: uploadSink(uploader, () => startedAt, log),
      onFailure: (code, message) => this.#ending.resolve({ reason: code, message }),
    });
    this.#pipeline = pipeline;
    publication.accept();
    const heart = setInterval(() => void this.#heartbeat(lease, pipeline, log), HEARTBEAT_MS);
    const pumped = this.#pump(pipeline, () => {
      startedAt = Math.max(Date.now() + clockOffset, answer.pdt_floor ?? 0);
      setTimeout(() => void this.#heartbeat(lease, pipeline, log), FIRST_HEARTBEAT_MS);
    });
    void publication.ended.then((end) => this.#ending.resolve(end));

    const ending = await this.#ending.promise;
    log.info({ reason: ending.reason, detail: ending.message }, "publish ends");
    publication.stop(ending.message ?? "The publish has ended.");
    try {
      if (this.#fenced) {
        pipeline.kill();
        uploader.abort();
      } else {
        // What the encoder sent before its end still waits in the stream.
        await Promise.race([pumped, sleep(PUMP_TIMEOUT_MS)]);
        await pipeline.end();
        await uploader.drain(DRAIN_MS);
      }
    } finally {
      clearInterval(heart);
      this.#pipeline = null;
    }
    if (!this.#fenced) await this.#end(lease, ending, log);
  }

  /** Feeds what the encoder sends to the pipeline, no faster than it takes it. Says when the first of it is here. */
  async #pump(pipeline: Pipeline, onFirst: () => void): Promise<void> {
    let first = true;
    for await (const chunk of this.#publication.media) {
      if (first) onFirst();
      first = false;
      if (!pipeline.write(chunk as Buffer)) await pipeline.drain();
    }
  }

  async #heartbeat(lease: Lease, pipeline: Pipeline, log: Log): Promise<void> {
    const health: Heartbeat = pipeline.stats(performance.now());
    try {
      const answer = HeartbeatAnswer.parse(await this.#context.edge.call(lease, "POST", "/heartbeat", health));
      if (answer.action === "stop") this.#fence(answer.reason ?? "the edge asked this stream to stop");
    } catch (error) {
      if (error instanceof EdgeRefusal && error.code === "fenced") this.#fence(error.message);
      else log.warn({ error: error instanceof Error ? error.message : String(error) }, "heartbeat failed");
    }
  }

  async #end(lease: Lease, ending: Ending, log: Log): Promise<void> {
    const signal = AbortSignal.timeout(END_TIMEOUT_MS);
    const body = { reason: ending.reason, message: ending.message?.slice(0, 300) ?? null };
    try {
      await retrying(() => this.#context.edge.call(lease, "POST", "/end", body, signal), signal);
    } catch (error) {
      // The edge finds out by itself when the lease runs out.
      log.warn({ error: error instanceof Error ? error.message : String(error) }, "the edge could not be told of the end");
    }
  }

  /** Somebody else holds the stream now, or nobody may: nothing more of this connection counts. */
  #fence(message: string): void {
    this.#fenced = true;
    this.#ending.resolve({ reason: "connection_lost", message });
  }
}

/** Carries what the packager makes to the uploader, with the epoch's place on the wall clock. */
function uploadSink(uploader: Uploader, startedAt: () => number, log: Log): PackagerSink {
  return {
    onTracks: (tracks: { target_duration: number; renditions: Track[] }) => {
      log.info({ target_duration: tracks.target_duration, renditions: tracks.renditions }, "first frames");
      uploader.tracks({ started_at: startedAt(), ...tracks });
    },
    onInit: (rendition, bytes) => uploader.init(rendition, bytes),
    onPart: (part) => uploader.part(part),
    onSegment: ({ start, ...segment }) => uploader.segment({ ...segment, pdt: startedAt() + start * 1000 }),
    onWarning: (message) => log.warn({}, message),
  };
}

/** A log that adds fields to every line. */
function child(log: Log, fields: object): Log {
  return {
    debug: (more, message) => log.debug({ ...fields, ...more }, message),
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}
