import type { Broadcast, Connection, Transition } from "../../domain/broadcast/broadcast.ts";
import type { Ticks } from "../../domain/cmaf/media-time.ts";
import { NovaError } from "../../domain/errors.ts";
import type {
  EndRequest,
  Heartbeat,
  HeartbeatAnswer,
  PartAnswer,
  PublishAnswer,
  TracksRequest,
} from "../../domain/protocol/origin-link.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import type { PartPush } from "../../domain/timeline/rendition-timeline.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import type { AlarmClock } from "./alarm-clock.ts";
import type { InitRow } from "./media-storage.ts";
import type { MediaWindow, SegmentClaim } from "./media-window.ts";
import type { MediaWindows } from "./media-windows.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { Outbox } from "./outbox.ts";
import type { Playback } from "./playback.ts";
import type { Presence } from "./presence.ts";
import type { Projector } from "./projector.ts";
import { Pulse } from "./pulse.ts";
import type { LiveStreamStorage, StreamConfig } from "./storage.ts";
import { purgeTime } from "./sweeper.ts";
import { lifecycleEvent } from "./viewer-events.ts";

/** An origin's proof that it holds the stream. */
export interface Holder {
  epoch: number;
  lease: string;
}

/** Who opens an epoch: which origin, for an encoder with which key. */
export interface Publisher {
  originId: string;
  keyId: string;
}

/** A segment as its origin describes it. */
export type SegmentPush = Omit<Segment, "parts" | "epoch" | "time"> & { time: Ticks | null };

/** What publishing needs of the object around it. */
export interface PublishingOwner {
  ctx: DurableObjectState;
  storage: LiveStreamStorage;
  broadcast: Broadcast;
  windows: MediaWindows;
  playback: Playback;
  presence: Presence;
  metrics: Metrics;
  projector: Projector;
  clock: AlarmClock;
  outbox: Outbox;
  config(): StreamConfig | null;
  streamId(): string;
}

const SEGMENT_TARGET_SECONDS = 2;

/** What origins do to a stream, and what it means for the broadcast's life: persisted, told to viewers and to the record. Its methods throw refusals. */
export class Publishing {
  readonly #owner: PublishingOwner;
  readonly #pulse = new Pulse();

  constructor(owner: PublishingOwner) {
    this.#owner = owner;
  }

  /** Opens an epoch for an encoder whose key the control plane has accepted. */
  publish(config: StreamConfig, by: Publisher): PublishAnswer {
    const { broadcast, windows } = this.#owner;
    const now = Date.now();
    // A lease that ran out a moment ago has opened the reconnect window, whether or not the alarm has said so yet.
    this.tick(now);
    const before = broadcast.connection;
    const connection = broadcast.publish({ ...by, lease: crypto.randomUUID() }, now);
    const goesOn = windows.get(connection.broadcast);
    const { nextMsn, declared, pdtFloor } = goesOn?.openEpoch(connection) ?? { nextMsn: 1, declared: null, pdtFloor: null };
    if (before !== null) this.#closeEpoch(before);
    this.#save(now);
    return {
      stream_id: config.id,
      broadcast: connection.broadcast,
      epoch: connection.epoch,
      lease: connection.lease,
      next_msn: nextMsn,
      profile: config.profile,
      part_target: config.partTarget,
      segment_target: SEGMENT_TARGET_SECONDS,
      declared,
      now,
      pdt_floor: pdtFloor,
    };
  }

  /** The first frames are here: the broadcast starts, or goes on. */
  putTracks(holder: Holder, request: TracksRequest): null {
    return this.#held(holder, (connection, now) => {
      const { windows } = this.#owner;
      const before = windows.qualities;
      const isFirst = windows.get(connection.broadcast) === null;
      windows.setTracks(connection, request, this.#owner.config() as StreamConfig);
      this.#goLive(now);
      if (windows.qualities.join() !== before.join()) this.#tellQualities(isFirst ? "broadcast_started" : "input_changed", now);
      return null;
    });
  }

  /** Whether a holder may write a segment, or an init segment, to R2: asked before, so that no name is taken by bytes that never count. */
  authorize(holder: Holder, segment: SegmentClaim | null): null {
    return this.#held(holder, (connection) => {
      if (segment !== null) this.#mediaOf(connection).assertWritable(connection.epoch, segment, Date.now());
      return null;
    });
  }

  /** An init segment is in R2. */
  addInit(holder: Holder, init: Omit<InitRow, "epoch">): null {
    return this.#held(holder, (connection) => {
      this.#mediaOf(connection).addInit({ ...init, epoch: connection.epoch });
      return null;
    });
  }

  addPart(holder: Holder, rendition: string, push: PartPush, bytes: Uint8Array): PartAnswer {
    return this.#held(holder, (connection) => ({ head: this.#mediaOf(connection).addPart(connection.epoch, rendition, push, bytes) }));
  }

  /** A segment is in R2, or is given up as a gap. */
  commitSegment(holder: Holder, rendition: string, segment: SegmentPush): null {
    return this.#held(holder, (connection, now) => {
      const media = this.#mediaOf(connection);
      media.assertWritable(connection.epoch, { rendition, ...segment }, now);
      media.commit(rendition, { ...segment, epoch: connection.epoch }, now);
      return null;
    });
  }

  /** Renews the lease; frames in it make the stream live. Says `stop` to the origin of a deleted stream. */
  heartbeat(holder: Holder, health: Heartbeat): HeartbeatAnswer {
    const { broadcast, presence, metrics } = this.#owner;
    if (broadcast.deleted) return { action: "stop", reason: "the stream was deleted" };
    return this.#held(holder, (connection, now) => {
      if (health.fps > 0 && !connection.live) this.#goLive(now);
      metrics.observe(connection, health, now);
      const update = this.#pulse.observe(connection.epoch, health, now);
      if (update !== null && presence.count > 0) presence.tell({ event: "bitrate_update", data: update }, now);
      return { action: "continue", reason: null };
    });
  }

  /** The encoder connection ended. Its origin has pushed all it had. */
  end(holder: Holder, request: EndRequest): null {
    return this.#held(holder, (connection, now) => {
      const transition = this.#owner.broadcast.end(request.reason, request.message, this.#reconnectWindow(), now);
      this.#closeEpoch(connection);
      this.#save(now);
      this.#apply(transition, now, connection.originId);
      return null;
    });
  }

  /** Cuts off whoever publishes with a key that was revoked. */
  revokeKey(keyId: string): void {
    const { broadcast } = this.#owner;
    const now = Date.now();
    const held = broadcast.connection;
    const transition = broadcast.revokeKey(keyId, this.#reconnectWindow(), now);
    if (held !== null && broadcast.connection === null) this.#closeEpoch(held);
    this.#save(now);
    this.#apply(transition, now);
  }

  /** Ends the stream for good. */
  delete(): void {
    const { broadcast, storage, clock } = this.#owner;
    const now = Date.now();
    const held = broadcast.connection;
    const transition = broadcast.delete(now);
    if (held !== null) this.#closeEpoch(held);
    storage.save("purgeAt", purgeTime(now));
    this.#save(now);
    this.#apply(transition, now);
    clock.runTasks(now);
  }

  /** Does what time has brought. An epoch that ends by it is closed first, so that nobody sees an end without its last segment. */
  tick(now: Millis): void {
    const { broadcast } = this.#owner;
    const held = broadcast.connection;
    const transition = broadcast.tick(this.#reconnectWindow(), now);
    if (transition === null) return;
    if (held !== null && broadcast.connection === null) this.#closeEpoch(held);
    this.#save(now);
    this.#apply(transition, now);
  }

  /** The media that a connection writes to. Throws 404 `rendition_not_found` before it has announced any. */
  #mediaOf(connection: Connection): MediaWindow {
    const media = this.#owner.windows.get(connection.broadcast);
    if (media === null) throw new NovaError(404, "rendition_not_found", "this epoch announced no renditions yet: PUT its tracks first");
    return media;
  }

  #held<Value>(holder: Holder, body: (connection: Connection, now: Millis) => Value): Value {
    const { broadcast, clock, playback } = this.#owner;
    const now = Date.now();
    const connection = broadcast.authorize(holder.epoch, holder.lease);
    const transition = broadcast.renew(now);
    if (transition !== null) {
      this.#save(now);
      this.#apply(transition, now);
    }
    const value = body(connection, now);
    clock.schedule(now);
    playback.wake();
    return value;
  }

  #goLive(now: Millis): void {
    const transition = this.#owner.broadcast.goLive(now);
    this.#save(now);
    this.#apply(transition, now);
  }

  /** What a transition means for viewers and for the record. `originId` is whose doing it is; null for none's. */
  #apply(transition: Transition | null, now: Millis, originId = this.#owner.broadcast.connection?.originId ?? null): void {
    if (transition === null) return;
    const { ctx, presence, metrics, windows, projector, playback, clock, outbox } = this.#owner;
    if (transition.kind === "started") presence.restartPeak();
    metrics.apply(transition, now);
    if (transition.kind === "ended") windows.get(transition.broadcast)?.storage.save("endedAt", now);
    presence.tell(lifecycleEvent(transition, this.#owner.streamId(), presence.peak, now), now);
    outbox.add(transition, { originId, peakViewers: presence.peak }, now);
    projector.mark(now);
    ctx.waitUntil(projector.write(now).finally(() => clock.schedule(Date.now())));
    playback.wake();
    clock.runTasks(now);
  }

  #tellQualities(reason: string, now: Millis): void {
    const { presence, windows, streamId } = this.#owner;
    const data = { stream_id: streamId(), qualities: windows.qualities, reason, timestamp: isoTime(now) };
    presence.tell({ event: "quality_changed", data }, now);
  }

  #closeEpoch({ broadcast, epoch }: Connection): void {
    this.#owner.windows.get(broadcast)?.closeEpoch(epoch);
    this.#owner.clock.runTasks(Date.now());
  }

  #save(now: Millis): void {
    this.#owner.storage.save("broadcast", this.#owner.broadcast.snapshot());
    this.#owner.clock.schedule(now);
  }

  #reconnectWindow(): Millis {
    return (this.#owner.config()?.reconnectWindowSeconds ?? 60) * 1000;
  }
}
