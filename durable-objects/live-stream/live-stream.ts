import { DurableObject } from "cloudflare:workers";
import { Broadcast, type Connection, LEASE_MS, type Transition } from "../../domain/broadcast/broadcast.ts";
import type { Ticks } from "../../domain/cmaf/media-time.ts";
import { NovaError } from "../../domain/errors.ts";
import type { Visibility } from "../../domain/protocol/api.ts";
import type { ServerEvent } from "../../domain/protocol/events.ts";
import type {
  EndRequest,
  Heartbeat,
  HeartbeatAnswer,
  PartAnswer,
  PublishAnswer,
  TracksRequest,
} from "../../domain/protocol/origin-link.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import type { ReloadQuery } from "../../domain/timeline/reload.ts";
import type { PartPush } from "../../domain/timeline/rendition-timeline.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import { AlarmClock, isDue } from "./alarm-clock.ts";
import type { InitRow } from "./media-storage.ts";
import type { MediaWindow, SegmentClaim } from "./media-window.ts";
import { MediaWindows } from "./media-windows.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import {
  type MediaPlaylistAnswer,
  type PartAddress,
  type PartBytes,
  Playback,
  type PlaylistAnswer,
  type SegmentAddress,
} from "./playback.ts";
import { Presence } from "./presence.ts";
import { type LiveFacts, Projector } from "./projector.ts";
import { createRecorder } from "./recorder.ts";
import { createSettler } from "./settler.ts";
import { LiveStreamStorage, type StreamConfig } from "./storage.ts";
import { createSweeper, purgeTime } from "./sweeper.ts";
import { greetingEvent, lifecycleEvent } from "./viewer-events.ts";

/** Bindings that the object needs. */
interface LiveStreamEnv {
  DB: D1Database;
  MEDIA: R2Bucket;
}

/** An origin's proof that it holds the stream. */
export interface Holder {
  epoch: number;
  lease: string;
}

const SEGMENT_TARGET_SECONDS = 2;
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
  readonly #clock: AlarmClock;
  readonly #projector: Projector;
  #config: StreamConfig | null;

  constructor(ctx: DurableObjectState, env: LiveStreamEnv) {
    super(ctx, env);
    const now = Date.now();
    this.#storage = new LiveStreamStorage(ctx.storage.sql);
    this.#config = this.#storage.load("config");
    const kept = this.#storage.load("broadcast") ?? undefined;
    // Renewals are not written down: after a loss of memory the holder has one lease's time to show itself.
    if (kept?.connection) kept.connection.expiresAt = Math.max(kept.connection.expiresAt, now + LEASE_MS);
    this.#broadcast = new Broadcast(kept);
    const streamId = () => this.#streamId();
    this.#windows = new MediaWindows(this.#storage, streamId);
    this.#playback = new Playback(this.#windows, this.#broadcast, streamId);
    this.#presence = new Presence(ctx, this.#storage, () => this.#announceCount());
    const tasks = [
      createSettler(this.#windows, env.MEDIA),
      createRecorder(this.#windows, this.#broadcast, this.#storage, env.MEDIA, streamId),
      createSweeper(this.#windows, this.#broadcast, this.#storage, env.MEDIA, streamId),
    ];
    this.#projector = new Projector(this.#storage, env.DB, () => ({ id: this.#streamId(), ...this.facts() }));
    const timers = (at: Millis) => [this.#broadcast.nextTickAt(), this.#presence.nextSweepAt(at), this.#projector.dueAt];
    this.#clock = new AlarmClock(ctx, tasks, timers, () => this.#playback.wake());
    this.#clock.schedule(now);
  }

  /** Takes over what the control plane says of the stream. */
  configure(config: StreamConfig): void {
    this.#config = config;
    this.#storage.save("config", config);
  }

  /** Opens an epoch for an encoder whose key the control plane has accepted. */
  publish(config: StreamConfig, originId: string): Promise<Outcome<PublishAnswer>> {
    return outcomeOf(() => {
      const now = Date.now();
      this.configure(config);
      // A lease that ran out a moment ago has opened the reconnect window, whether or not the alarm has said so yet.
      this.#tick(now);
      const before = this.#broadcast.connection;
      const connection = this.#broadcast.publish({ originId, lease: crypto.randomUUID() }, now);
      const goesOn = this.#windows.get(connection.broadcast);
      const { nextMsn, declared, pdtFloor } = goesOn?.openEpoch(connection) ?? { nextMsn: 1, declared: null, pdtFloor: null };
      if (before !== null) this.#closeEpoch(before);
      this.#saveBroadcast(now);
      return {
        stream_id: config.id,
        broadcast: connection.broadcast,
        epoch: connection.epoch,
        lease: connection.lease,
        next_msn: nextMsn,
        profile: "passthrough",
        part_target: config.partTarget,
        segment_target: SEGMENT_TARGET_SECONDS,
        declared,
        now,
        pdt_floor: pdtFloor,
      };
    });
  }

  /** The first frames are here: the broadcast starts, or goes on. */
  putTracks(holder: Holder, request: TracksRequest): Promise<Outcome<null>> {
    return this.#held(holder, (connection, now) => {
      this.#windows.setTracks(connection, request, this.#config as StreamConfig);
      this.#goLive(now);
      return null;
    });
  }

  /** Whether a holder may write a segment, or an init segment, to R2: asked before, so that no name is taken by bytes that never count. */
  authorize(holder: Holder, segment: SegmentClaim | null): Promise<Outcome<null>> {
    return this.#held(holder, (connection) => {
      if (segment !== null) this.#mediaOf(connection).assertWritable(connection.epoch, segment, Date.now());
      return null;
    });
  }

  /** An init segment is in R2. */
  addInit(holder: Holder, init: Omit<InitRow, "epoch">): Promise<Outcome<null>> {
    return this.#held(holder, (connection) => {
      this.#mediaOf(connection).addInit({ ...init, epoch: connection.epoch });
      return null;
    });
  }

  addPart(holder: Holder, rendition: string, push: PartPush, bytes: Uint8Array): Promise<Outcome<PartAnswer>> {
    return this.#held(holder, (connection) => ({ head: this.#mediaOf(connection).addPart(connection.epoch, rendition, push, bytes) }));
  }

  /** A segment is in R2, or is given up as a gap. */
  commitSegment(
    holder: Holder,
    rendition: string,
    segment: Omit<Segment, "parts" | "epoch" | "time"> & { time: Ticks | null },
  ): Promise<Outcome<null>> {
    return this.#held(holder, (connection, now) => {
      const media = this.#mediaOf(connection);
      media.assertWritable(connection.epoch, { rendition, ...segment }, now);
      media.commit(rendition, { ...segment, epoch: connection.epoch }, now);
      return null;
    });
  }

  /** Renews the lease; frames in it make the stream live. Says `stop` to the origin of a deleted stream. */
  heartbeat(holder: Holder, health: Heartbeat): Promise<Outcome<HeartbeatAnswer>> {
    if (this.#broadcast.deleted) return outcomeOf(() => ({ action: "stop" as const, reason: "the stream was deleted" }));
    return this.#held(holder, (connection, now) => {
      if (health.fps > 0 && !connection.live) this.#goLive(now);
      return { action: "continue" as const, reason: null };
    });
  }

  /** The encoder connection ended. Its origin has pushed all it had. */
  end(holder: Holder, request: EndRequest): Promise<Outcome<null>> {
    return this.#held(holder, (connection, now) => {
      const transition = this.#broadcast.end(request.reason, request.message, this.#reconnectWindow(), now);
      this.#closeEpoch(connection);
      this.#saveBroadcast(now);
      this.#apply(transition, now);
      return null;
    });
  }

  /** Ends the stream for good. */
  async delete(): Promise<void> {
    const now = Date.now();
    const held = this.#broadcast.connection;
    const transition = this.#broadcast.delete(now);
    if (held !== null) this.#closeEpoch(held);
    this.#storage.save("purgeAt", purgeTime(now));
    this.#saveBroadcast(now);
    this.#apply(transition, now);
    this.#clock.runTasks(now);
  }

  facts(): LiveFacts {
    const { phase } = this.#broadcast;
    const ended = phase.status === "completed" || phase.status === "error" ? phase : null;
    return {
      status: phase.status,
      broadcast: this.#broadcast.number,
      viewerCount: this.#presence.count,
      peakViewers: this.#presence.peak,
      startedAt: phase.status === "pending" ? null : phase.startedAt,
      endedAt: ended?.endedAt ?? null,
      endReason: ended?.reason ?? null,
    };
  }

  /** A rendition's playlist; of the current broadcast where none is named. */
  mediaPlaylist(broadcast: number | null, rendition: string, query: ReloadQuery, delta: boolean): Promise<Outcome<MediaPlaylistAnswer>> {
    return outcomeOf(() => this.#playback.mediaPlaylist(broadcast, rendition, query, delta));
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

  /** A viewer's WebSocket; the Worker has checked who asks. Everything else is RPC. */
  override async fetch(request: Request): Promise<Response> {
    const viewer = new URL(request.url).searchParams.get("viewer");
    if (viewer === null || this.#config === null) return new Response(null, { status: 404 });
    const { 0: client, 1: server } = new WebSocketPair();
    const now = Date.now();
    this.#presence.join(server, viewer, () => this.#established(), now);
    this.#clock.schedule(now);
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#presence.receive(socket, message, Date.now());
  }

  override webSocketClose(socket: WebSocket): void {
    this.#presence.leave(socket, Date.now());
  }

  override webSocketError(socket: WebSocket): void {
    this.#presence.leave(socket, Date.now());
  }

  /** Runs whatever is due. The alarm may come early or twice: everything asks the clock. */
  override async alarm(): Promise<void> {
    this.#clock.fired();
    const now = Date.now();
    this.#presence.sweep(now);
    this.#tick(now);
    this.#clock.runTasks(now);
    if (isDue(this.#projector.dueAt, now)) await this.#projector.write(now);
    this.#clock.schedule(now);
  }

  /** The media that a connection writes to. Throws 404 `rendition_not_found` before it has announced any. */
  #mediaOf(connection: Connection): MediaWindow {
    const media = this.#windows.get(connection.broadcast);
    if (media === null) throw new NovaError(404, "rendition_not_found", "this epoch announced no renditions yet: PUT its tracks first");
    return media;
  }

  #held<Value>(holder: Holder, body: (connection: Connection, now: Millis) => Value): Promise<Outcome<Value>> {
    return outcomeOf(() => {
      const now = Date.now();
      const connection = this.#broadcast.authorize(holder.epoch, holder.lease);
      const transition = this.#broadcast.renew(now);
      if (transition !== null) {
        this.#saveBroadcast(now);
        this.#apply(transition, now);
      }
      const value = body(connection, now);
      this.#clock.schedule(now);
      this.#playback.wake();
      return value;
    });
  }

  /** Does what time has brought. An epoch that ends by it is closed first, so that nobody sees an end without its last segment. */
  #tick(now: Millis): void {
    const held = this.#broadcast.connection;
    const transition = this.#broadcast.tick(this.#reconnectWindow(), now);
    if (transition === null) return;
    if (held !== null && this.#broadcast.connection === null) this.#closeEpoch(held);
    this.#saveBroadcast(now);
    this.#apply(transition, now);
  }

  #goLive(now: Millis): void {
    const transition = this.#broadcast.goLive(now);
    this.#saveBroadcast(now);
    this.#apply(transition, now);
  }

  /** What a transition means for viewers and for the record. */
  #apply(transition: Transition | null, now: Millis): void {
    if (transition === null) return;
    if (transition.kind === "started") this.#presence.restartPeak();
    if (transition.kind === "ended") this.#windows.get(transition.broadcast)?.storage.save("endedAt", now);
    this.#presence.tell(lifecycleEvent(transition, this.#streamId(), this.#presence.peak, now), now);
    this.#projector.mark(now);
    this.ctx.waitUntil(this.#projector.write(now).finally(() => this.#clock.schedule(Date.now())));
    this.#playback.wake();
    this.#clock.runTasks(now);
  }

  #established(): ServerEvent {
    const stream = { id: this.#streamId(), title: this.#config?.title ?? "" };
    return greetingEvent(stream, this.facts(), this.#presence.instance, this.#qualities);
  }

  #announceCount(): void {
    const now = Date.now();
    const data = {
      stream_id: this.#streamId(),
      viewer_count: this.#presence.count,
      peak_viewers: this.#presence.peak,
      timestamp: isoTime(now),
    };
    this.#presence.tell({ event: "viewer_count_changed", data }, now);
    this.#projector.mark(now + COUNT_IN_D1_MS);
    this.#clock.schedule(now);
  }

  /** Names of the video renditions. */
  get #qualities(): string[] {
    const tracks = this.#windows.current?.tracks.tracks ?? [];
    return tracks.filter((track) => track.kind === "video").map((track) => track.name);
  }

  #closeEpoch({ broadcast, epoch }: Connection): void {
    this.#windows.get(broadcast)?.closeEpoch(epoch);
    this.#clock.runTasks(Date.now());
  }

  #saveBroadcast(now: Millis): void {
    this.#storage.save("broadcast", this.#broadcast.snapshot());
    this.#clock.schedule(now);
  }

  #reconnectWindow(): Millis {
    return (this.#config?.reconnectWindowSeconds ?? 60) * 1000;
  }

  #streamId(): string {
    if (this.#config === null) throw new NovaError(404, "stream_not_found", "no such stream");
    return this.#config.id;
  }
}
