import { NovaError } from "../errors.ts";
import type { ProfileName } from "../profiles.ts";
import type { StreamStatus } from "../protocol/events.ts";
import type { EndReason } from "../protocol/origin-link.ts";
import type { Millis } from "../time.ts";
import { type Standby, Standbys } from "./standbys.ts";

/** A lease that is not renewed for this long is free for another encoder. */
export const LEASE_MS: Millis = 5_000;

/** A live encoder of which nothing arrives for this long makes way for one that stands by. */
export const SILENCE_MS: Millis = 2_000;
/** The same before the first of its media, which takes a while to begin. */
const FIRST_MEDIA_MS: Millis = 5_000;
/** So long, at least, is waited for an encoder that stands by. */
const STANDBY_WINDOW_MS: Millis = 3_000;

/** How many revoked keys are remembered: the publish of one is on its way for seconds at most. */
const MAX_REVOKED_KEYS = 50;

/** Where the stream's latest broadcast stands. */
export type Phase =
  | { status: "pending" }
  | { status: "active"; broadcast: number; startedAt: Millis }
  | { status: "reconnecting"; broadcast: number; startedAt: Millis; reason: string; deadline: Millis }
  | { status: "completed" | "error"; broadcast: number; startedAt: Millis | null; endedAt: Millis; reason: string };

/** The encoder connection that holds the lease. */
export interface Connection {
  epoch: number;
  broadcast: number;
  lease: string;
  originId: string;
  /** The stream key that the encoder published with. */
  keyId: string;
  expiresAt: Millis;
  /** Its tracks are known: it has sent frames. */
  live: boolean;
  /** It stands in for another encoder, and makes way for it. */
  backup: boolean;
  /** As the stream's settings were when it published. */
  profile: ProfileName;
  openedAt: Millis;
  /** When a part or a segment of it arrived last; null before the first. */
  mediaAt: Millis | null;
  /** What was shown for this epoch: the lease of the one that the same encoder had before it, or a backup's ticket; null for a publish. */
  follows: string | null;
}

/** An encoder that wants to publish. */
export interface Encoder {
  originId: string;
  keyId: string;
  backup: boolean;
  profile: ProfileName;
}

/** What is kept of a broadcast's lifecycle. */
export interface BroadcastSnapshot {
  phase: Phase;
  connection: Connection | null;
  lastEpoch: number;
  /** The epoch that was cut off because its key was revoked; null where none was. */
  revokedEpoch: number | null;
  /** The keys that were revoked last: a publish that was let in before may still be on its way. */
  revokedKeys: string[];
  deleted: boolean;
  /** Encoders that wait for the live one to fail. */
  standbys: Standby[];
}

const BEGINNING: BroadcastSnapshot = {
  phase: { status: "pending" },
  connection: null,
  lastEpoch: 0,
  revokedEpoch: null,
  revokedKeys: [],
  deleted: false,
  standbys: [],
};

/** What changed for viewers and for the record. */
export type Transition =
  | { kind: "started"; broadcast: number }
  | { kind: "resumed"; broadcast: number }
  | { kind: "reconnecting"; broadcast: number; reason: string; deadline: Millis }
  | { kind: "ended"; broadcast: number; status: "completed" | "error"; reason: string; startedAt: Millis | null; endedAt: Millis };

const FAULTS: readonly EndReason[] = ["transcoder_failed", "unsupported_input"];

/**
 * The lifecycle of a stream's broadcasts: `pending` → `active` ⇄ `reconnecting` → `completed` or `error`, with one encoder
 * connection at a time. Every method takes the time and returns what changed, if anything.
 */
export class Broadcast {
  readonly #state: BroadcastSnapshot;
  readonly #standbys: Standbys;

  /** Goes on from a snapshot; what that does not know is as in the beginning. */
  constructor(snapshot: Partial<BroadcastSnapshot> = {}) {
    this.#state = structuredCopy({ ...BEGINNING, ...snapshot });
    this.#standbys = new Standbys(this.#state.standbys);
  }

  /** The same after a loss of memory: signs of life are not written down, so everybody gets time to show itself. */
  static restore(snapshot: Partial<BroadcastSnapshot>, now: Millis): Broadcast {
    const broadcast = new Broadcast(snapshot);
    const held = broadcast.#state.connection;
    if (held !== null) {
      held.expiresAt = Math.max(held.expiresAt, now + LEASE_MS);
      held.openedAt = now;
      if (held.mediaAt !== null) held.mediaAt = now;
    }
    broadcast.#standbys.wake(now);
    return broadcast;
  }

  snapshot(): BroadcastSnapshot {
    return structuredCopy({ ...this.#state, standbys: this.#standbys.snapshot() });
  }

  get phase(): Phase {
    return this.#state.phase;
  }

  get status(): StreamStatus {
    return this.#state.phase.status;
  }

  get connection(): Connection | null {
    return this.#state.connection;
  }

  get deleted(): boolean {
    return this.#state.deleted;
  }

  /** The number of the latest encoder connection; 0 before the first. */
  get lastEpoch(): number {
    return this.#state.lastEpoch;
  }

  /** The number of the latest broadcast; 0 before the first. */
  get number(): number {
    return this.#state.phase.status === "pending" ? 0 : this.#state.phase.broadcast;
  }

  /** Keys of the encoders that stand by. */
  get standbyKeys(): string[] {
    return this.#standbys.keyIds;
  }

  /** Whether an encoder holds a lease that has not run out. */
  isHeld(now: Millis): boolean {
    return this.#state.connection !== null && this.#state.connection.expiresAt > now;
  }

  /**
   * Opens an epoch for an encoder. Throws 403 `stream_ended` for a deleted stream, 403 `key_revoked` for a revoked key, and 409 `already_live` where another
   * connection holds a lease that has not run out; a backup's makes way. The broadcast itself begins with the first frame, in `goLive`.
   */
  publish({ lease, ...encoder }: Encoder & { lease: string }, now: Millis): Connection {
    this.#assertWelcome(encoder.keyId);
    const makesWay = this.#state.connection?.backup === true && !encoder.backup;
    if (this.isHeld(now) && !makesWay) {
      throw new NovaError(409, "already_live", "another encoder is live with this key: stop it first, or wait 10 seconds if it crashed");
    }
    const broadcast = this.status === "active" || this.status === "reconnecting" ? this.number : this.number + 1;
    return this.#open({ ...encoder, broadcast, live: false, follows: null }, lease, now);
  }

  /** Lets a backup wait for its turn; `ticket` is what it asks with. Throws as `publish` does, but for the live encoder. */
  standBy({ originId, keyId }: Encoder, ticket: string, now: Millis): void {
    this.#assertWelcome(keyId);
    this.#standbys.add({ ticket, originId, keyId }, now);
  }

  /**
   * A backup asks whether its turn has come: the lease is free, or nothing arrives of the encoder that holds it. Opens an epoch for it then; null
   * while it has to wait. Throws 409 `standby_expired` for one that is not known, or no more.
   */
  takeOver(asks: { ticket: string; originId: string; lease: string; profile: ProfileName }, now: Millis): Connection | null {
    if (this.#state.deleted) throw new NovaError(403, "stream_ended", "this stream was deleted: create a new one");
    // Its answer was lost on the way: the same epoch again.
    const held = this.#state.connection;
    if (held !== null && held.follows === asks.ticket && held.originId === asks.originId) {
      held.expiresAt = now + LEASE_MS;
      return held;
    }
    const { ticket, originId, keyId, since } = this.#standbys.ask(asks.ticket, asks.originId, now);
    if (this.isHeld(now) && !this.#isSilent(since, now)) return null;
    this.#standbys.remove(ticket);
    const broadcast = this.status === "active" || this.status === "reconnecting" ? this.number : this.number + 1;
    return this.#open({ originId, keyId, backup: true, profile: asks.profile, broadcast, live: false, follows: ticket }, asks.lease, now);
  }

  /** The same encoder goes on in a new epoch; the one before takes nothing more. Asked again with the old lease it gives the same epoch. Throws as `authorize`. */
  next(epoch: number, lease: string, newLease: string, now: Millis): Connection {
    const followed = this.#state.connection;
    if (followed !== null && followed.follows === lease && followed.epoch === epoch + 1) return followed;
    const { originId, keyId, backup, profile, broadcast, live } = this.authorize(epoch, lease);
    return this.#open({ originId, keyId, backup, profile, broadcast, live, follows: lease }, newLease, now);
  }

  /** A part or a segment of the live encoder arrived. */
  noteMedia(now: Millis): void {
    if (this.#state.connection !== null) this.#state.connection.mediaAt = now;
  }

  /** The connection that this epoch and lease name. Throws 409 `fenced` for any other: its owner must stop. */
  authorize(epoch: number, lease: string): Connection {
    const held = this.#state.connection;
    if (this.#state.deleted) throw new NovaError(409, "fenced", "this stream was deleted: create a new one");
    if (epoch === this.#state.revokedEpoch) throw new NovaError(409, "fenced", "this stream key was revoked: publish with another one");
    if (held === null || held.epoch !== epoch || held.lease !== lease) {
      throw new NovaError(409, "fenced", `epoch ${epoch} does not hold the lease: stop, and publish again`);
    }
    return held;
  }

  /** Frames arrive: the broadcast starts, or goes on after a loss. */
  goLive(now: Millis): Transition | null {
    const held = this.#state.connection;
    if (held === null) return null;
    held.live = true;
    held.expiresAt = now + LEASE_MS;
    const { phase } = this.#state;
    if (phase.status === "active") return null;
    if (phase.status === "reconnecting") {
      this.#state.phase = { status: "active", broadcast: phase.broadcast, startedAt: phase.startedAt };
      return { kind: "resumed", broadcast: phase.broadcast };
    }
    this.#state.phase = { status: "active", broadcast: held.broadcast, startedAt: now };
    return { kind: "started", broadcast: held.broadcast };
  }

  /** The holder shows a sign of life: its lease is renewed, and a broadcast that had given it up goes on. */
  renew(now: Millis): Transition | null {
    const held = this.#state.connection;
    if (held === null) return null;
    held.expiresAt = now + LEASE_MS;
    return held.live ? this.goLive(now) : null;
  }

  /** The encoder connection ended, and why. Where another one stands by, it is waited for, whatever the reason. */
  end(reason: EndReason, message: string | null, reconnectWindow: Millis, now: Millis): Transition | null {
    const held = this.#state.connection;
    this.#state.connection = null;
    const goesOn = this.#standbys.canTakeOver(now);
    if (FAULTS.includes(reason) && !goesOn) return this.#finish("error", message ?? reason, held?.broadcast ?? this.number + 1, now);
    // It took over from one that had fallen silent, and brought nothing: the silence remains.
    if (held === null || !held.live) return this.#lose("origin_lost", reconnectWindow, now);
    if (reason !== "unpublished") return this.#lose(reason, reconnectWindow, now);
    return goesOn ? this.#lose("primary_ended", reconnectWindow, now) : this.#finish("completed", reason, held.broadcast, now);
  }

  /** A stream key is valid no longer: whoever publishes with it is cut off, and another key may go on with the broadcast. */
  revokeKey(keyId: string, reconnectWindow: Millis, now: Millis): Transition | null {
    const held = this.#state.connection;
    this.#standbys.removeKey(keyId);
    this.#state.revokedKeys = [keyId, ...this.#state.revokedKeys.filter((id) => id !== keyId)].slice(0, MAX_REVOKED_KEYS);
    if (held === null || held.keyId !== keyId) return null;
    this.#state.connection = null;
    this.#state.revokedEpoch = held.epoch;
    return this.#lose("key_revoked", reconnectWindow, now);
  }

  /** When `tick` has something to do; null where nothing is due. */
  nextTickAt(): Millis | null {
    const { phase, connection } = this.#state;
    if (phase.status === "reconnecting") return Math.max(phase.deadline, connection?.expiresAt ?? 0);
    if (phase.status === "active") return connection?.expiresAt ?? null;
    return null;
  }

  /** Time passed: a lease that ran out opens the reconnect window, a window that ran out completes the broadcast. */
  tick(reconnectWindow: Millis, now: Millis): Transition | null {
    const { phase, connection } = this.#state;
    if (phase.status === "active" && (connection === null || connection.expiresAt <= now)) {
      return this.#lose("origin_lost", reconnectWindow, now);
    }
    // An encoder that came back in time has its lease's time to send frames.
    if (phase.status === "reconnecting" && phase.deadline <= now && (connection === null || connection.expiresAt <= now)) {
      return this.#finish("completed", phase.reason, phase.broadcast, now);
    }
    return null;
  }

  /** Ends the stream for good. */
  delete(now: Millis): Transition | null {
    this.#state.deleted = true;
    this.#standbys.clear();
    this.#state.connection = null;
    const { phase } = this.#state;
    if (phase.status === "completed" || phase.status === "error") return null;
    return this.#finish("completed", "deleted", this.number, now);
  }

  #assertWelcome(keyId: string): void {
    if (this.#state.deleted) throw new NovaError(403, "stream_ended", "this stream was deleted: create a new one");
    if (this.#state.revokedKeys.includes(keyId)) throw new NovaError(403, "key_revoked", "this stream key was revoked: use a new one");
  }

  #open(encoder: Omit<Connection, "epoch" | "lease" | "expiresAt" | "openedAt" | "mediaAt">, lease: string, now: Millis): Connection {
    this.#state.lastEpoch += 1;
    const { lastEpoch: epoch } = this.#state;
    const fresh = { lease: `${encoder.broadcast}.${lease}`, expiresAt: now + LEASE_MS, openedAt: now, mediaAt: null };
    this.#state.connection = { ...encoder, ...fresh, epoch };
    return this.#state.connection;
  }

  /** While a backup could not ask it may be the edge that was away, and not the encoder. */
  #isSilent(asksSince: Millis, now: Millis): boolean {
    const held = this.#state.connection;
    if (held === null) return true;
    const [last, limit] = held.mediaAt === null ? [held.openedAt, FIRST_MEDIA_MS] : [held.mediaAt, SILENCE_MS];
    return now - Math.max(last, asksSince) >= limit;
  }

  #lose(reason: string, window: Millis, now: Millis): Transition | null {
    const { phase } = this.#state;
    if (phase.status !== "active") return null;
    const reconnectWindow = this.#standbys.canTakeOver(now) ? Math.max(window, STANDBY_WINDOW_MS) : window;
    if (reconnectWindow === 0) return this.#finish("completed", reason, phase.broadcast, now);
    const deadline = now + reconnectWindow;
    this.#state.phase = { status: "reconnecting", broadcast: phase.broadcast, startedAt: phase.startedAt, reason, deadline };
    return { kind: "reconnecting", broadcast: phase.broadcast, reason, deadline };
  }

  #finish(status: "completed" | "error", reason: string, broadcast: number, now: Millis): Transition {
    const { phase } = this.#state;
    // Whoever holds the lease of a broadcast that is over is fenced: nothing may open it again.
    this.#state.connection = null;
    const startedAt = phase.status === "active" || phase.status === "reconnecting" ? phase.startedAt : null;
    this.#state.phase = { status, broadcast, startedAt, endedAt: now, reason };
    return { kind: "ended", broadcast, status, reason, startedAt, endedAt: now };
  }
}

function structuredCopy({ phase, connection, standbys, ...rest }: BroadcastSnapshot): BroadcastSnapshot {
  const copies = { connection: connection === null ? null : { ...connection }, standbys: standbys.map((standby) => ({ ...standby })) };
  return { ...rest, ...copies, phase: { ...phase } };
}
