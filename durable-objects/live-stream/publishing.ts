import type { Broadcast, Connection, Transition } from "../../domain/broadcast/broadcast.ts";
import type { Ticks } from "../../domain/cmaf/media-time.ts";
import { NovaError } from "../../domain/errors.ts";
import type { ProfileName } from "../../domain/profiles.ts";
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

/** Who opens an epoch: which origin, for an encoder with which key, and whether that stands by for another one. */
export interface Publisher {
  originId: string;
  keyId: string;
  backup: boolean;
}

/** A segment as its origin describes it. */
export type SegmentPush = Omit<Segment, "parts" | "epoch" | "time"> & { time: Ticks | null };

/** A part and the rendition that it is of. */
export interface NamedPush {
  rendition: string;
  push: PartPush;
}

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
  /** The choice that viewers were told of last; null until one was told, or seen, in this life of the object. */
  #choice: string | null = null;

  constructor(owner: PublishingOwner) {
    this.#owner = owner;
  }

  /** Opens an epoch for an encoder whose key the control plane has accepted; a backup waits while another one is live. */
  publish(config: StreamConfig, by: Publisher): PublishAnswer | StandbyAnswer {
    const { broadcast } = this.#owner;
    const now = Date.now();
    // A lease that ran out a moment ago has opened the reconnect window, whether or not the alarm has said so yet.
    this.tick(now);
    const encoder = { ...by, profile: config.profile };
    if (by.backup && broadcast.isHeld(now)) {
      const ticket = crypto.randomUUID();
      broadcast.standBy(encoder, ticket, now);
      this.#save(now);
      return { standby: true, stream_id: config.id, ticket };
    }
    const before = broadcast.connection;
    return this.#opened(broadcast.publish({ ...encoder, lease: crypto.randomUUID() }, now), before, now);
  }

  /** A backup asks whether its turn has come. Nothing of it is written down while it waits. */
  standby({ id, profile }: StreamConfig, { ticket, origin_id }: StandbyRequest): PublishAnswer | StandbyAnswer {
    const { broadcast } = this.#owner;
    const now = Date.now();
    this.tick(now);
    const before = broadcast.connection;
    const connection = broadcast.takeOver({ ticket, originId: origin_id, profile, lease: crypto.randomUUID() }, now);
    return connection === null ? { standby: true, stream_id: id, ticket } : this.#opened(connection, before, now);
  }

  /** The same encoder goes on in a new epoch. Nobody hears of an end. */
  next({ epoch, lease }: Holder, originId: string): PublishAnswer {
    const { broadcast } = this.#owner;
    const now = Date.now();
    const before = broadcast.connection;
    if (before !== null && before.originId !== originId) throw new NovaError(409, "fenced", "another origin holds the lease: stop");
    const connection = broadcast.next(epoch, lease, crypto.randomUUID(), now);
    this.#apply(broadcast.renew(now), now);
    return this.#opened(connection, before, now);
  }

  /** The first frames are here: the broadcast starts, or goes on. */
  putTracks(holder: Holder, request: TracksRequest): null {
    return this.#held(holder, (connection, now) => {
      this.#tellOffer(now, () => {
        this.#owner.windows.setTracks(connection, request, this.#owner.config() as StreamConfig);
        this.#goLive(now);
      });
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
    return this.#held(holder, (connection, now) => {
      this.#tellOffer(now, () => this.#mediaOf(connection).addInit({ ...init, epoch: connection.epoch }));
      return null;
    });
  }

  addPart(holder: Holder, rendition: string, push: PartPush, bytes: Uint8Array): PartAnswer {
    return this.#held(holder, (connection, now) => {
      const head = this.#mediaOf(connection).addPart(connection.epoch, rendition, push, bytes);
      this.#owner.broadcast.noteMedia(now);
      return { head };
    });
  }

  /** Several parts at once, each taken or refused by itself, and perhaps a sign of life. */
  addParts(holder: Holder, pushes: readonly NamedPush[], bytes: readonly Uint8Array[], heartbeat: Heartbeat | null): PartsAnswer {
    return this.#held(holder, (connection, now) => {
      const parts = pushes.map(({ rendition, push }, index): PartsAnswer["parts"][number] => {
        try {
          this.#mediaOf(connection).addPart(connection.epoch, rendition, push, bytes[index] ?? new Uint8Array());
          // Who waits for one of several shall hear of it, and what is hinted after it, before the next (PL9).
          if (pushes.some((other, later) => later > index && other.rendition === rendition)) this.#owner.playback.wake();
          return { status: 200 };
        } catch (error) {
          if (!(error instanceof NovaError)) throw error;
          return { status: error.status, error: error.code, message: error.message };
        }
      });
      if (parts.some(({ status }) => status === 200)) this.#owner.broadcast.noteMedia(now);
      if (heartbeat !== null) this.#noteHealth(connection, heartbeat, now);
      return { parts, heartbeat: heartbeat === null ? null : { action: "continue", reason: null } };
    });
  }

  /** A segment is in R2, or is given up as a gap. */
  commitSegment(holder: Holder, rendition: string, segment: SegmentPush): null {
    return this.#held(holder, (connection, now) => {
      const media = this.#mediaOf(connection);
      media.assertWritable(connection.epoch, { rendition, ...segment }, now);
      this.#tellOffer(now, () => media.commit(rendition, { ...segment, epoch: connection.epoch }, now));
      if (!segment.gap) this.#owner.broadcast.noteMedia(now);
      return null;
    });
  }

  /** Renews the lease; frames in it make the stream live. Says `stop` to the origin of a deleted stream. */
  heartbeat(holder: Holder, health: Heartbeat): HeartbeatAnswer {
    if (this.#owner.broadcast.deleted) return { action: "stop", reason: "the stream was deleted" };
    return this.#held(holder, (connection, now) => {
      this.#noteHealth(connection, health, now);
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

  #noteHealth(connection: Connection, health: Heartbeat, now: Millis): void {
    const { presence, metrics, windows } = this.#owner;
    if (health.fps > 0 && !connection.live) this.#goLive(now);
    metrics.observe(connection, health, now);
    const tracks = windows.get(connection.broadcast)?.tracks.tracks;
    const hasVideo = tracks === undefined || tracks.some(({ kind }) => kind === "video");
    const update = this.#pulse.observe(connection.epoch, health, hasVideo, now);
    if (update !== null && presence.count > 0) presence.tell({ event: "bitrate_update", data: update }, now);
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

  /** Does what may change the choice that viewers have, and tells them if it did. */
  #tellOffer(now: Millis, change: () => void): void {
    const { presence, windows, streamId } = this.#owner;
    const before = this.#choice ?? choiceIn(windows);
    change();
    this.#choice = choiceIn(windows);
    if (this.#choice === before) return;
    const reason = windows.current?.tracks.reason ?? "broadcast_started";
    const data = { stream_id: streamId(), qualities: windows.qualities, reason, timestamp: isoTime(now) };
    presence.tell({ event: "quality_changed", data }, now);
  }

  /** An epoch is open: where in the broadcast it begins. The one before it takes nothing more. */
  #opened(connection: Connection, before: Connection | null, now: Millis): PublishAnswer {
    // A connection that was opened before profiles were kept with it has none.
    const { broadcast, epoch, lease, profile = "passthrough" } = connection as Connection & { profile?: ProfileName };
    const media = this.#owner.windows.get(broadcast);
    const { nextMsn, declared, pdtFloor } = media?.openEpoch(connection) ?? { nextMsn: 1, declared: null, pdtFloor: null };
    if (before !== null && before.epoch !== epoch) this.#closeEpoch(before);
    this.#save(now);
    this.#owner.playback.wake();
    return {
      ...{ stream_id: this.#owner.streamId(), broadcast, epoch, lease, profile },
      next_msn: nextMsn,
      part_target: this.#owner.config()?.partTarget ?? 0.5,
      segment_target: SEGMENT_TARGET_SECONDS,
      declared,
      now,
      pdt_floor: pdtFloor,
    };
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

/** What viewers of the newest broadcast can choose from, to see whether it differs: by name, and by what a player has to know beforehand. */
function choiceIn(windows: MediaWindows): string {
  const tracks = windows.current?.offered ?? [];
  const shapes = tracks.map((track) =>
    track.kind === "video" ? [track.name, track.codec, track.width, track.height] : [track.name, track.codec],
  );
  return JSON.stringify(shapes.map((shape) => shape.join()).sort());
}
