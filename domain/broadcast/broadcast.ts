import { NovaError } from "../errors.ts";
import type { StreamStatus } from "../protocol/events.ts";
import type { EndReason } from "../protocol/origin-link.ts";
import type { Millis } from "../time.ts";

/** A lease that is not renewed for this long is free for another encoder. */
export const LEASE_MS: Millis = 5_000;

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
}

const BEGINNING: BroadcastSnapshot = {
  phase: { status: "pending" },
  connection: null,
  lastEpoch: 0,
  revokedEpoch: null,
  revokedKeys: [],
  deleted: false,
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
  #state: BroadcastSnapshot;

  /** Goes on from a snapshot; what that does not know is as in the beginning. */
  constructor(snapshot: Partial<BroadcastSnapshot> = {}) {
    this.#state = structuredCopy({ ...BEGINNING, ...snapshot });
  }

  snapshot(): BroadcastSnapshot {
    return structuredCopy(this.#state);
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

  /**
   * Opens an epoch for an encoder. Throws 403 `stream_ended` for a deleted stream, 403 `key_revoked` for a revoked key, and 409 `already_live` where another
   * connection holds a lease that has not run out. The broadcast itself begins with the first frame, in `goLive`.
   */
  publish(request: { originId: string; keyId: string; lease: string }, now: Millis): Connection {
    if (this.#state.deleted) throw new NovaError(403, "stream_ended", "this stream was deleted: create a new one");
    if (this.#state.revokedKeys.includes(request.keyId)) {
      throw new NovaError(403, "key_revoked", "this stream key was revoked: use a new one");
    }
    const held = this.#state.connection;
    if (held !== null && held.expiresAt > now) {
      throw new NovaError(409, "already_live", "another encoder is live with this key: stop it first, or wait 10 seconds if it crashed");
    }
    const broadcast = this.status === "active" || this.status === "reconnecting" ? this.number : this.number + 1;
    const connection: Connection = {
      epoch: this.#state.lastEpoch + 1,
      broadcast,
      lease: `${broadcast}.${request.lease}`,
      originId: request.originId,
      keyId: request.keyId,
      expiresAt: now + LEASE_MS,
      live: false,
    };
    this.#state.connection = connection;
    this.#state.lastEpoch = connection.epoch;
    return connection;
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

  /** The encoder connection ended, and why. */
  end(reason: EndReason, message: string | null, reconnectWindow: Millis, now: Millis): Transition | null {
    const held = this.#state.connection;
    this.#state.connection = null;
    if (FAULTS.includes(reason)) return this.#finish("error", message ?? reason, held?.broadcast ?? this.number + 1, now);
    // It took over from one that had fallen silent, and brought nothing: the silence remains.
    if (held === null || !held.live) return this.#lose("origin_lost", reconnectWindow, now);
    if (reason === "unpublished") return this.#finish("completed", reason, held.broadcast, now);
    return this.#lose(reason, reconnectWindow, now);
  }

  /** A stream key is valid no longer: whoever publishes with it is cut off, and another key may go on with the broadcast. */
  revokeKey(keyId: string, reconnectWindow: Millis, now: Millis): Transition | null {
    const held = this.#state.connection;
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
    this.#state.connection = null;
    const { phase } = this.#state;
    if (phase.status === "completed" || phase.status === "error") return null;
    return this.#finish("completed", "deleted", this.number, now);
  }

  #lose(reason: string, reconnectWindow: Millis, now: Millis): Transition | null {
    const { phase } = this.#state;
    if (phase.status !== "active") return null;
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

function structuredCopy(snapshot: BroadcastSnapshot): BroadcastSnapshot {
  return { ...snapshot, phase: { ...snapshot.phase }, connection: snapshot.connection === null ? null : { ...snapshot.connection } };
}
