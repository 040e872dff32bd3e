import { setTimeout as sleep } from "node:timers/promises";
import type { ProfileName } from "../domain/profiles.ts";
import type { EndReason, PublishAnswer, StandbyAnswer, TracksReason } from "../domain/protocol/origin-link.ts";
import { DRAIN_AWAY_MS, type EpochContext, EpochRun, type EpochStart } from "./epoch-run.ts";
import type { Publication } from "./ingest/publication.ts";
import { type ArrivedTag, InputHead, RecentMedia, weightOf } from "./input-head.ts";
import type { Log } from "./log.ts";
import type { StreamStatus } from "./status.ts";
import { describeStream } from "./stream-status.ts";
import { FlvReader } from "./transcode/flv.ts";
import { parseMediaTag } from "./transcode/media-tag.ts";
import { estimateCores, OverloadWatch } from "./transcode/overload.ts";
import type { PlannedRung } from "./transcode/plan.ts";
import { EdgeRefusal } from "./upload/edge-client.ts";
import { retrying } from "./upload/retry.ts";

const HEARTBEAT_MS = 1_000;
/** The first sign of frames goes out early, so that the stream shows as live within a second. */
const FIRST_HEARTBEAT_MS = 250;
/** The ingest refuses an encoder that is not answered for 8 s. */
const PUBLISH_TIMEOUT_MS = 6_000;
/** An encoder that connects anew is quicker than the end of its connection before: so long it is waited for. */
const TAKEOVER_WAIT_MS = 2_000;
const TAKEOVER_EVERY_MS = 250;
const PUMP_TIMEOUT_MS = 2_000;
const STANDBY_EVERY_MS = 500;
const NEXT_EPOCH_TIMEOUT_MS = 30_000;
/** More of them within a minute are no way to go on. */
const MAX_EPOCHS_A_MINUTE = 10;
/** What may wait while one epoch ends and the next begins. */
const MAX_BACKLOG_BYTES = 48 * 1024 * 1024;

/** What every session of an origin shares. */
export interface SessionContext extends EpochContext {
  log: Log;
  /** Whether one more stream of that profile has room: null, or why not, in words for the encoder. */
  refusalOf(profile: ProfileName): string | null;
  /** Processors of the machine that nobody uses, in cores. */
  idleCores(): number;
}

interface Ending {
  reason: EndReason;
  message: string | null;
}

/** Where the encoder's media goes. */
type Stage =
  | { at: "waiting" }
  | { at: "standby"; ticket: string; stream: string; recent: RecentMedia }
  | { at: "live"; run: EpochRun }
  /** One epoch ends, the next is about to begin. */
  | { at: "between"; run: EpochRun; backlog: ArrivedTag[]; bytes: number; isAsked: boolean }
  | { at: "over" };

/** One encoder connection, from its publish to its end: asks the edge, and has its media made and uploaded, in one epoch after the other. */
export class Session {
  readonly #context: SessionContext;
  readonly #publication: Publication;
  readonly #since = new Date();
  readonly #ending = Promise.withResolvers<Ending>();
  readonly #head = new InputHead();
  readonly #overload = new OverloadWatch();
  #log: Log;
  #stage: Stage = { at: "waiting" };
  #change: Promise<void> = Promise.resolve();
  #epochsAtMs: number[] = [];
  /** Encoded qualities that the machine has no room for, the one that went last at the end. */
  #dropped: PlannedRung[] = [];
  #isMoved = false;
  /** Why the next key frame begins another epoch, where it is we who want that. */
  #pendingReason: TracksReason | null = null;
  #isAskingForTurn = false;

  constructor(context: SessionContext, publication: Publication) {
    this.#context = context;
    this.#publication = publication;
    this.#log = context.log;
  }

  /** Process id of the session's FFmpeg; null where none runs. */
  get transcoderPid(): number | null {
    return this.#run?.pipeline.ffmpegPid ?? null;
  }

  /** What an operator sees of it; null before the edge has accepted it. */
  get status(): StreamStatus | null {
    const stage = this.#stage;
    return describeStream(this.#run, stage.at === "standby" ? stage.stream : null, this.#since);
  }

  /** Ends the session from our side; the encoder is told why. */
  stop(reason: EndReason, message: string): void {
    this.#ending.resolve({ reason, message });
  }

  /** Asks the encoder to connect anew, to another origin, where it knows how to. Its goodbye is then not the end of the broadcast. */
  move(): void {
    if (this.#isMoved || !this.#publication.canReconnect) return;
    this.#isMoved = true;
    this.#publication.requestReconnect("This origin is shutting down.");
  }

  /** Runs to the end. Never rejects. */
  async run(): Promise<void> {
    const answer = await this.#askEdge();
    if (answer === null) return;
    this.#log = this.#context.log.child({ stream: answer.stream_id });
    const refusal = "standby" in answer ? null : this.#context.refusalOf(answer.profile);
    if (refusal !== null) return this.#refuse(answer as PublishAnswer, refusal);
    this.#context.metrics.publishAccepted();
    try {
      await this.#live(answer);
    } catch (error) {
      this.#log.error({ error: String(error) }, "session failed");
      this.#publication.stop("The origin failed: try again.");
      this.#run?.abandon();
    } finally {
      this.#stage = { at: "over" };
    }
  }

  get #run(): EpochRun | null {
    return "run" in this.#stage ? this.#stage.run : null;
  }

  async #askEdge(): Promise<PublishAnswer | StandbyAnswer | null> {
    const { edge, config, metrics, log } = this.#context;
    const { streamKey, software, remoteAddress, backup } = this.#publication;
    const request = { stream_key: streamKey, origin_id: config.originId, encoder: { software, address: remoteAddress }, backup };
    const signal = AbortSignal.timeout(PUBLISH_TIMEOUT_MS);
    try {
      for (const until = Date.now() + TAKEOVER_WAIT_MS; ; ) {
        try {
          return await retrying(() => edge.publish(request, signal), signal);
        } catch (error) {
          if (!(error instanceof EdgeRefusal) || error.code !== "already_live" || Date.now() > until) throw error;
          await sleep(TAKEOVER_EVERY_MS);
        }
      }
    } catch (error) {
      const refused = error instanceof EdgeRefusal;
      const message = refused ? error.message : "the platform cannot be reached right now: try again in a few seconds";
      const code = refused ? error.code : "unavailable";
      log.warn({ remote: remoteAddress, code, error: message }, "publish refused");
      metrics.publishRefused(code);
      this.#publication.refuse(message);
      return null;
    }
  }

  /** The edge has given a lease that there is no room to use. */
  async #refuse(answer: PublishAnswer, words: string): Promise<void> {
    const { edge, metrics } = this.#context;
    this.#log.warn({ reason: words, profile: answer.profile }, "publish refused");
    metrics.publishRefused("capacity");
    this.#publication.refuse(words);
    const lease = { stream: answer.stream_id, epoch: answer.epoch, lease: answer.lease };
    await edge.call(lease, "POST", "/end", { reason: "connection_lost", message: words.slice(0, 300) }).catch(() => undefined);
  }

  async #live(answer: PublishAnswer | StandbyAnswer): Promise<void> {
    const publication = this.#publication;
    const { metrics } = this.#context;
    this.#enter(answer, { reason: null, afterJump: false, keyInterval: null });
    publication.accept();
    const { software, remoteAddress, backup } = publication;
    this.#log.info({ software, remote: remoteAddress, backup, standby: this.#stage.at === "standby" }, "publish accepted");
    const heart = setInterval(() => this.#beat(), HEARTBEAT_MS);
    const asking = setInterval(() => void this.#askForTurn(), STANDBY_EVERY_MS);
    const pumped = this.#pump();
    void publication.ended.then((end) => this.#ending.resolve(end));

    const ending = await this.#ending.promise;
    const reason = this.#isMoved && ending.reason === "unpublished" ? "origin_shutdown" : ending.reason;
    this.#log.info({ reason, detail: ending.message }, "publish ends");
    clearInterval(asking);
    publication.stop(ending.message ?? "The publish has ended.");
    try {
      // What the encoder sent before its end still waits in the stream.
      if (this.#run?.isFenced !== true) await Promise.race([pumped, sleep(PUMP_TIMEOUT_MS)]);
      // One change of epochs may lead to another.
      for (let change: Promise<void> | null = null; change !== this.#change; ) {
        change = this.#change;
        await change;
      }
      await this.#run?.finish();
    } finally {
      clearInterval(heart);
    }
    await this.#run?.end(reason, ending.message);
    metrics.publishEnded(reason, (Date.now() - this.#since.getTime()) / 1000);
  }

  /** Goes live with an epoch, or stands by. */
  #enter(answer: PublishAnswer | StandbyAnswer, how: Pick<EpochStart, "reason" | "afterJump" | "keyInterval">): void {
    if ("standby" in answer) {
      this.#stage = { at: "standby", ticket: answer.ticket, stream: answer.stream_id, recent: new RecentMedia() };
      return;
    }
    const log = this.#log.child({ epoch: answer.epoch });
    const run: EpochRun = new EpochRun(this.#context, { answer, without: this.#dropped.map(({ name }) => name), ...how }, log, {
      // What began well is no fault of the broadcast's: the encoder may come back as it was.
      onFailure: (reason, message) =>
        this.#ending.resolve({ reason: how.reason !== null && reason === "unsupported_input" ? "input_changed" : reason, message }),
      onEncodingLost: (message) => {
        this.#overload.failed();
        this.#dropRungs(run, run.pipeline.plan?.rungs ?? [], message);
      },
      onFenced: (message) => this.#onFenced(run, message),
    });
    log.info({ broadcast: answer.broadcast, profile: answer.profile, reason: how.reason }, "epoch opened");
    this.#stage = { at: "live", run };
    this.#pendingReason = null;
  }

  /** Reads the encoder's media as it comes: nothing of it waits here. Settles when it has ended. */
  #pump(): Promise<void> {
    const reader = new FlvReader();
    const { media } = this.#publication;
    return new Promise((resolve) => {
      media.on("data", (chunk: Buffer) => {
        const at = Date.now();
        try {
          for (const tag of reader.push(chunk)) this.#take({ tag, media: parseMediaTag(tag), at });
        } catch (error) {
          const message = `the encoder's stream is broken: ${error instanceof Error ? error.message : String(error)}`;
          media.destroy();
          this.#ending.resolve({ reason: "unsupported_input", message });
        }
      });
      media.once("close", resolve);
    });
  }

  #take(arrived: ArrivedTag): void {
    const stage = this.#stage;
    if (stage.at === "live") this.#feed(stage.run, arrived);
    else if (stage.at === "standby") {
      this.#head.note(arrived);
      stage.recent.push(arrived);
    } else if (stage.at === "between") {
      stage.backlog.push(arrived);
      stage.bytes += weightOf(arrived);
      if (stage.bytes > MAX_BACKLOG_BYTES) this.stop("connection_lost", "The origin can't keep up with this stream.");
    }
  }

  #feed(run: EpochRun, arrived: ArrivedTag): void {
    this.#head.note(arrived);
    if (!run.hasBegun) setTimeout(() => this.#beat(), FIRST_HEARTBEAT_MS);
    const taken = run.push(arrived);
    if (taken.state === "taken") return;
    const reason = this.#pendingReason ?? "input_changed";
    this.#pendingReason = null;
    const backlog = taken.untaken.map(({ tag, media }) => ({ tag, media, at: arrived.at }));
    const bytes = backlog.reduce((sum, waiting) => sum + weightOf(waiting), 0);
    this.#stage = { at: "between", run, backlog, bytes, isAsked: false };
    this.#change = this.#nextEpoch(run, taken.message, { reason, afterJump: taken.clock });
  }

  /** Lets one epoch end and another one go on from the tag that did not fit. */
  async #nextEpoch(run: EpochRun, why: string, how: { reason: TracksReason; afterJump: boolean }): Promise<void> {
    const nowMs = performance.now();
    this.#epochsAtMs = [...this.#epochsAtMs.filter((atMs) => atMs > nowMs - 60_000), nowMs];
    if (this.#epochsAtMs.length > MAX_EPOCHS_A_MINUTE) return this.stop("input_changed", `${why}, again and again`);
    this.#log.info({ why, reason: how.reason }, "the connection goes on in another epoch");
    const { edge, config } = this.#context;
    try {
      // An edge that is away just now shall have it all the same.
      await run.finish(DRAIN_AWAY_MS);
      if (run.isFenced) return;
      const signal = AbortSignal.timeout(NEXT_EPOCH_TIMEOUT_MS);
      if (this.#stage.at === "between") this.#stage.isAsked = true;
      const answer = await retrying(() => edge.next(run.lease, { origin_id: config.originId }, signal), signal);
      if (this.#stage.at !== "between") return;
      // What another format's key frames will be, nobody knows.
      const keyInterval = how.reason === "input_changed" && !how.afterJump ? null : run.pipeline.keyInterval;
      this.#goOn(answer, { ...how, keyInterval });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof EdgeRefusal && error.code === "fenced") this.#giveWay(run, message);
      else this.stop("connection_lost", message);
    }
  }

  /** Enters an epoch in the middle of the encoder's media, and feeds it what has waited. */
  #goOn(answer: PublishAnswer, how: Pick<EpochStart, "reason" | "afterJump" | "keyInterval">): void {
    const stage = this.#stage;
    const waiting = stage.at === "between" ? stage.backlog : stage.at === "standby" ? stage.recent.take() : [];
    this.#enter(answer, how);
    // What was said before counts from when the first of the media came.
    const at = waiting[0]?.at ?? Date.now();
    const head = this.#head.list().map((arrived) => ({ ...arrived, at }));
    for (const arrived of [...head, ...waiting]) this.#take(arrived);
  }

  #beat(): void {
    const stage = this.#stage;
    if (stage.at !== "live") return;
    void stage.run.heartbeat();
    this.#watchLoad(stage.run);
  }

  #watchLoad(run: EpochRun): void {
    const { plan, usualFps, lagMs } = run.pipeline;
    const isEncoding = plan !== null && (plan.rungs.length > 0 || this.#dropped.length > 0);
    if (!isEncoding || this.#pendingReason !== null) return;
    const { idleCores, config } = this.#context;
    const last = this.#dropped.at(-1);
    const verdict = this.#overload.observe({
      lagMs,
      nowMs: performance.now(),
      rungs: { droppable: plan.rungs.length - (plan.copy === null ? 1 : 0), dropped: this.#dropped.length },
      idleCores: idleCores(),
      costCores: last === undefined ? 0 : estimateCores(config.videoEncoder, last, usualFps),
    });
    if (verdict === "drop") this.#dropRungs(run, plan.rungs.slice(0, 1), "the machine cannot encode all qualities in time");
    else if (verdict === "restore" && last !== undefined) {
      this.#dropped = this.#dropped.slice(0, -1);
      this.#context.metrics.rungRestored();
      this.#cut(run, "recovered", `there is room for ${last.name} again`);
    }
  }

  #dropRungs(run: EpochRun, rungs: readonly PlannedRung[], message: string): void {
    this.#dropped = [...this.#dropped, ...rungs];
    this.#context.metrics.rungDropped();
    this.#log.warn({ dropped: rungs.map(({ name }) => name), reason: message }, "encoded qualities are dropped");
    this.#cut(run, "overload", message);
  }

  #cut(run: EpochRun, reason: TracksReason, message: string): void {
    this.#pendingReason = reason;
    run.pipeline.cutAtKeyFrame(message);
  }

  async #askForTurn(): Promise<void> {
    const stage = this.#stage;
    if (stage.at !== "standby" || stage.ticket === "" || this.#isAskingForTurn) return;
    const { edge, config } = this.#context;
    this.#isAskingForTurn = true;
    try {
      const answer = await edge.standby(
        stage.stream,
        { ticket: stage.ticket, origin_id: config.originId },
        AbortSignal.timeout(PUBLISH_TIMEOUT_MS),
      );
      if (this.#stage !== stage || "standby" in answer) return;
      this.#log.warn({ broadcast: answer.broadcast, epoch: answer.epoch }, "the backup takes over");
      this.#goOn(answer, { reason: "backup", afterJump: false, keyInterval: null });
    } catch (error) {
      if (!(error instanceof EdgeRefusal) || this.#stage !== stage) return;
      if (error.code === "standby_expired") await this.#standByAgain(stage);
      else this.stop("connection_lost", error.message);
    } finally {
      this.#isAskingForTurn = false;
    }
  }

  #onFenced(run: EpochRun, message: string): void {
    // A call of the old epoch that was overtaken by the question for the next one.
    if (this.#run !== run || (this.#stage.at === "between" && this.#stage.isAsked)) return;
    this.#giveWay(run, message);
  }

  /** Somebody else has the stream now. A backup stands by again; for another encoder it is the end. */
  #giveWay(run: EpochRun, message: string): void {
    if (!this.#publication.backup) return this.#ending.resolve({ reason: "connection_lost", message });
    this.#log.info({ reason: message }, "the backup stands back");
    run.abandon();
    const stage: Stage = { at: "standby", ticket: "", stream: run.answer.stream_id, recent: new RecentMedia() };
    this.#stage = stage;
    void this.#standByAgain(stage);
  }

  async #standByAgain(stage: Stage): Promise<void> {
    const answer = await this.#askEdge();
    if (this.#stage !== stage) return;
    if (answer === null) this.stop("connection_lost", "This backup is not taken any more.");
    else if ("standby" in answer && stage.at === "standby") stage.ticket = answer.ticket;
    else if (!("standby" in answer)) this.#goOn(answer, { reason: "backup", afterJump: false, keyInterval: null });
  }
}
