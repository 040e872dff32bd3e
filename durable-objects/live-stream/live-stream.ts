import { DurableObject } from "cloudflare:workers";
import type { Member } from "../../domain/audience/shard-plan.ts";
import { Broadcast } from "../../domain/broadcast/broadcast.ts";
import { NovaError } from "../../domain/errors.ts";
import type { Resolution } from "../../domain/metrics/resolution.ts";
import type { Analytics } from "../../domain/protocol/api/analytics.ts";
import type { Metrics as MetricsAnswer } from "../../domain/protocol/api/metrics.ts";
import type { Visibility } from "../../domain/protocol/api/streams.ts";
import type { PullReport } from "../../domain/protocol/audience.ts";
import type { JsonValue } from "../../domain/protocol/json-value.ts";
import type {
  EndRequest,
  Heartbeat,
  HeartbeatAnswer,
  PartAnswer,
  PartsAnswer,
  PublishAnswer,
  StandbyAnswer,
  StandbyRequest,
  TracksRequest,
} from "../../domain/protocol/origin-link.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import type { ReloadQuery } from "../../domain/timeline/reload.ts";
import type { PartPush } from "../../domain/timeline/rendition-timeline.ts";
import { type AudienceEnv, answerUpgrade, assertMayWatch } from "../audience/admission.ts";
import { CloseAnswers } from "../audience/close-answers.ts";
import type { Claims, MemberEnv, News, ShardWord } from "../audience/members.ts";
import type { SessionPage } from "../audience/session-pages.ts";
import { visitOf } from "../audience/visit.ts";
import { AlarmClock, isDue } from "./alarm-clock.ts";
import type { InitRow } from "./media-storage.ts";
import type { SegmentClaim } from "./media-window.ts";
import { MediaWindows } from "./media-windows.ts";
import { Metrics } from "./metrics/metrics.ts";
import { Outbox } from "./outbox.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import {
  type MediaPlaylistAnswer,
  type PartAddress,
  type PartBytes,
  Playback,
  type PlaylistAnswer,
  type SegmentAddress,
} from "./playback.ts";
import { Presence, type PresenceOwner } from "./presence.ts";
import { type LiveFacts, Projector } from "./projector.ts";
import { type Holder, type NamedPush, type Publisher, Publishing, type SegmentPush } from "./publishing.ts";
import { type Reconciled, reconcile, type StreamRecord } from "./reconciling.ts";
import { createRecorder } from "./recorder.ts";
import { createSettler } from "./settler.ts";
import { LiveStreamStorage, type StreamConfig } from "./storage.ts";
import { createSweeper } from "./sweeper.ts";
import { greetingEvent } from "./viewer-events.ts";

/** Bindings that the object needs. */
interface LiveStreamEnv extends AudienceEnv, MemberEnv {
  DB: D1Database;
  MEDIA: R2Bucket;
  EVENTS: Queue;
}

/** How soon a changed viewer count is in D1. */
const COUNT_IN_D1_MS: Millis = 10_000;

/**
 * One stream: its lifecycle, live window, audience and sockets. A shell: the rules are in `domain/`. Memory is a cache of
 * SQLite and of the runtime's socket list, rebuilt in the constructor.
 */
export class LiveStream extends DurableObject<LiveStreamEnv> {
  readonly #storage: LiveStreamStorage;
  readonly #broadcast: Broadcast;
  readonly #windows: MediaWindows;
  readonly #playback: Playback;
  readonly #presence: Presence;
  readonly #metrics: Metrics;
  readonly #closeAnswers = new CloseAnswers();
  readonly #publishing: Publishing;
  readonly #clock: AlarmClock;
  readonly #projector: Projector;
  #config: StreamConfig | null;

  constructor(ctx: DurableObjectState, env: LiveStreamEnv) {
    super(ctx, env);
    const now = Date.now();
    this.#storage = new LiveStreamStorage(ctx.storage.sql);
    this.#config = this.#storage.load("config");
    this.#broadcast = Broadcast.restore(this.#storage.load("broadcast") ?? {}, now);
    const streamId = () => this.#streamId();
    this.#windows = new MediaWindows(this.#storage, streamId);
    this.#playback = new Playback(this.#windows, this.#broadcast, streamId);
    this.#presence = new Presence(this.#presenceOwner(env), now);
    this.#metrics = new Metrics({ sql: ctx.storage.sql, lifecycle: this.#broadcast, windows: this.#windows, presence: this.#presence });
    const outbox = new Outbox(ctx.storage.sql, env, () => this.#config);
    const tasks = [
      outbox.task,
      createSettler(this.#windows, env.MEDIA),
      createRecorder(this.#windows, this.#broadcast, this.#storage, env.MEDIA, streamId),
      createSweeper(this.#windows, this.#broadcast, this.#storage, env.MEDIA, streamId),
    ];
    this.#projector = new Projector(this.#storage, env.DB, () => ({ id: this.#streamId(), ...this.facts() }));
    const timers = (at: Millis) => [
      ...[this.#broadcast.nextTickAt(), this.#presence.nextSweepAt(at)],
      ...[this.#projector.dueAt, this.#metrics.nextPurgeAt()],
    ];
    this.#clock = new AlarmClock(ctx, tasks, timers, () => this.#playback.wake());
    this.#publishing = new Publishing({
      ...{ ctx, storage: this.#storage, broadcast: this.#broadcast, windows: this.#windows, playback: this.#playback },
      ...{ presence: this.#presence, metrics: this.#metrics, projector: this.#projector, clock: this.#clock, outbox },
      ...{ config: () => this.#config, streamId },
    });
    this.#clock.schedule(now);
  }

  /** Takes over what the control plane says of the stream; an older word than the last is not heard. Viewers are told of a new title. */
  configure(config: StreamConfig): void {
    const before = this.#config;
    if (before !== null && (before.revision ?? 0) > config.revision) return;
    this.#config = config;
    this.#storage.save("config", config);
    if (before === null || before.title === config.title) return;
    const now = Date.now();
    this.#presence.tell({ event: "stream_updated", data: { stream_id: config.id, title: config.title, timestamp: isoTime(now) } }, now);
  }

  /** Opens an epoch for an encoder whose key the control plane has accepted. */
  publish(config: StreamConfig, by: Publisher): Promise<Outcome<PublishAnswer | StandbyAnswer>> {
    this.configure(config);
    return outcomeOf(() => this.#publishing.publish(this.#config ?? config, by));
  }

  /** A backup asks whether its turn has come. */
  standby(request: StandbyRequest): Promise<Outcome<PublishAnswer | StandbyAnswer>> {
    return outcomeOf(() => {
      if (this.#config === null) throw new NovaError(409, "standby_expired", "this backup is not known any more: publish again");
      return this.#publishing.standby(this.#config, request);
    });
  }

  /** Opens a further epoch for the encoder that holds this one. */
  nextEpoch(holder: Holder, originId: string): Promise<Outcome<PublishAnswer>> {
    return outcomeOf(() => this.#publishing.next(holder, originId));
  }

  /** A stream key was revoked: whoever publishes with it is cut off. */
  revokeKey(keyId: string): void {
    this.#publishing.revokeKey(keyId);
  }

  putTracks(holder: Holder, request: TracksRequest): Promise<Outcome<null>> {
    return outcomeOf(() => this.#publishing.putTracks(holder, request));
  }

  authorize(holder: Holder, segment: SegmentClaim | null): Promise<Outcome<null>> {
    return outcomeOf(() => this.#publishing.authorize(holder, segment));
  }

  addInit(holder: Holder, init: Omit<InitRow, "epoch">): Promise<Outcome<null>> {
    return outcomeOf(() => this.#publishing.addInit(holder, init));
  }

  addPart(holder: Holder, rendition: string, push: PartPush, bytes: Uint8Array): Promise<Outcome<PartAnswer>> {
    return outcomeOf(() => this.#publishing.addPart(holder, rendition, push, bytes));
  }

  addParts(holder: Holder, pushes: NamedPush[], bytes: Uint8Array[], heartbeat: Heartbeat | null): Promise<Outcome<PartsAnswer>> {
    return outcomeOf(() => this.#publishing.addParts(holder, pushes, bytes, heartbeat));
  }

  commitSegment(holder: Holder, rendition: string, segment: SegmentPush): Promise<Outcome<null>> {
    return outcomeOf(() => this.#publishing.commitSegment(holder, rendition, segment));
  }

  heartbeat(holder: Holder, health: Heartbeat): Promise<Outcome<HeartbeatAnswer>> {
    return outcomeOf(() => this.#publishing.heartbeat(holder, health));
  }

  end(holder: Holder, request: EndRequest): Promise<Outcome<null>> {
    return outcomeOf(() => this.#publishing.end(holder, request));
  }

  /** Ends the stream for good. */
  delete(): void {
    this.#publishing.delete();
  }

  /** Holds the control plane's record against what is known here, and repairs what differs. */
  reconcile(record: StreamRecord): Promise<Reconciled> {
    const own = { broadcast: this.#broadcast, publishing: this.#publishing, projector: this.#projector, storage: this.#storage };
    const owner = {
      ...own,
      config: () => this.#config,
      configure: (config: StreamConfig) => this.configure(config),
    };
    return reconcile(owner, record, Date.now()).finally(() => this.#clock.schedule(Date.now()));
  }

  facts(): LiveFacts {
    const { phase } = this.#broadcast;
    const ended = phase.status === "completed" || phase.status === "error" ? phase : null;
    return {
      status: phase.status,
      broadcast: this.#broadcast.number,
      viewerCount: this.#presence.count,
      viewers: this.#presence.viewers(Date.now()),
      peakViewers: this.#presence.peak,
      startedAt: phase.status === "pending" ? null : phase.startedAt,
      endedAt: ended?.endedAt ?? null,
      endReason: ended?.reason ?? null,
    };
  }

  /** A rendition's playlist; of the current broadcast where none is named. */
  mediaPlaylist(broadcast: number | null, rendition: string, query: ReloadQuery, delta: boolean): Promise<Outcome<MediaPlaylistAnswer>> {
    return outcomeOf(async () => {
      const answer = await this.#playback.mediaPlaylist(broadcast, rendition, query, delta);
      return { ...answer, plan: this.#presence.plan };
    });
  }

  multivariantPlaylist(broadcast: number | null): Promise<Outcome<PlaylistAnswer>> {
    return outcomeOf(() => this.#playback.multivariantPlaylist(broadcast));
  }

  /** The DASH manifest. */
  manifest(broadcast: number | null): Promise<Outcome<PlaylistAnswer>> {
    return outcomeOf(() => this.#playback.manifest(broadcast));
  }

  readPart(address: PartAddress): Promise<Outcome<PartBytes>> {
    return outcomeOf(() => this.#playback.readPart(address));
  }

  /** Whether a segment is one whose parts can be read as they come. */
  assertOpen(address: SegmentAddress): Promise<Outcome<null>> {
    return outcomeOf(() => {
      this.#playback.assertOpen(address);
      return null;
    });
  }

  /** Who may play the stream; null where the control plane never told. */
  visibility(): Visibility | null {
    return this.#config?.visibility ?? null;
  }

  /** An isolate of the Worker has seen players ask for playlists. */
  reportPull(report: PullReport): void {
    this.#presence.reportPull(report, Date.now());
    this.#clock.schedule(Date.now());
  }

  /** The stays of viewers, the newest first. */
  viewerSessions(query: { cursor: string | null; limit: number }): Promise<Outcome<SessionPage>> {
    return outcomeOf(() => this.#presence.sessions(query));
  }

  /** Figures over time, of this many steps. */
  metrics(resolution: Resolution): MetricsAnswer {
    return this.#metrics.points(resolution);
  }

  /** How a broadcast went, by default the latest. Refuses with 404 `broadcast_not_found`. */
  analytics(broadcast: number | null): Promise<Outcome<Analytics>> {
    return outcomeOf(() => this.#metrics.analytics(broadcast, Date.now()));
  }

  /** Tells the viewers what the broadcaster sends along; `at` is null for now. Refuses with 409 `not_live`, 429 `too_many_messages`. */
  sendMetadata(at: Millis | null, payload: JsonValue): Promise<Outcome<{ seq: number; at: Millis }>> {
    return outcomeOf(() => {
      const now = Date.now();
      if (this.#broadcast.status !== "active") throw new NovaError(409, "not_live", "metadata goes with a live broadcast: start one first");
      return { seq: this.#presence.sendMetadata(at ?? now, payload, now), at: at ?? now };
    });
  }

  /** A shard says how many viewers it has, and is told what it does not know yet. */
  shardWord(word: ShardWord): News {
    const news = this.#presence.hearShard(word, Date.now());
    this.#clock.schedule(Date.now());
    return news;
  }

  /** Seats that a shard has given to viewers who may have one here. Returns those here that stay. */
  claim(from: Member, { claims }: Claims): Claims {
    return this.#presence.judge(claims, from, Date.now());
  }

  /** A visitor's WebSocket; the Worker has made out who asks. Everything else is RPC. */
  override fetch(request: Request): Promise<Response> {
    return answerUpgrade(() => {
      const visit = visitOf(request);
      if (visit === null || this.#config === null) throw new NovaError(404, "stream_not_found", "no such stream: check the id");
      assertMayWatch(visit, this.#config.visibility);
      const now = Date.now();
      const answer = this.#presence.open(visit, now);
      this.#clock.schedule(now);
      return answer;
    });
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#presence.receive(socket, message, Date.now());
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    this.#presence.leave(socket, Date.now());
    this.#closeAnswers.add(socket, code);
  }

  override webSocketError(socket: WebSocket): void {
    this.#presence.leave(socket, Date.now());
  }

  /** Runs whatever is due. The alarm may come early or twice: everything asks the clock. */
  override async alarm(): Promise<void> {
    this.#clock.fired();
    const now = Date.now();
    this.#presence.sweep(now);
    this.#publishing.tick(now);
    this.#metrics.purge(now);
    this.#clock.runTasks(now);
    if (isDue(this.#projector.dueAt, now)) await this.#projector.write(now);
    this.#clock.schedule(now);
  }

  #presenceOwner(env: LiveStreamEnv): PresenceOwner {
    return {
      ctx: this.ctx,
      storage: this.#storage,
      env,
      streamId: () => this.#streamId(),
      visibility: () => this.visibility(),
      greet: () => {
        const stream = { id: this.#streamId(), title: this.#config?.title ?? "" };
        return greetingEvent(stream, this.facts(), this.#presence.instance, this.#windows.qualities);
      },
      onCount: (now) => {
        this.#projector.mark(now + COUNT_IN_D1_MS);
        this.#clock.schedule(now);
      },
    };
  }

  #streamId(): string {
    if (this.#config === null) throw new NovaError(404, "stream_not_found", "no such stream");
    return this.#config.id;
  }
}
