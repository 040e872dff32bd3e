import type { Millis } from "../time.ts";

/** A viewer with no ping for this long is gone: a half-open socket never says so itself. */
export const SILENT_AFTER_MS: Millis = 65_000;

interface Presence<Socket> {
  socket: Socket;
  /** When the socket last proved that it is alive. */
  seenAt: Millis;
}

/**
 * Who is watching: a set of viewers, never a counter. One viewer has one socket; a newer one takes the older one's place.
 * `Socket` is opaque here and compared by identity.
 */
export class Audience<Socket> {
  readonly #viewers = new Map<string, Presence<Socket>>();
  #peak = 0;

  /** @param peak the highest count of the broadcast so far, as it was kept */
  constructor(peak = 0) {
    this.#peak = peak;
  }

  /** Distinct viewers with an open socket. */
  get count(): number {
    return this.#viewers.size;
  }

  /** The highest count of the broadcast. */
  get peak(): number {
    return this.#peak;
  }

  /** A new broadcast counts its peak from those who already wait. */
  restartPeak(): void {
    this.#peak = this.count;
  }

  /** A viewer's socket is open. Returns the socket that it takes the place of, to be closed. */
  join(viewer: string, socket: Socket, at: Millis): Socket | null {
    const replaced = this.#viewers.get(viewer)?.socket ?? null;
    this.#viewers.set(viewer, { socket, seenAt: at });
    this.#peak = Math.max(this.#peak, this.count);
    return replaced === socket ? null : replaced;
  }

  /** A socket closed. Returns whether a viewer left: not where a newer socket has taken its place. */
  leave(viewer: string, socket: Socket): boolean {
    if (this.#viewers.get(viewer)?.socket !== socket) return false;
    return this.#viewers.delete(viewer);
  }

  /** Removes those who have been silent too long and returns their sockets. `lastPing` gives a socket's newest sign of life, or null. */
  sweep(now: Millis, lastPing: (socket: Socket) => Millis | null): Socket[] {
    const gone: Socket[] = [];
    for (const [viewer, presence] of this.#viewers) {
      presence.seenAt = Math.max(presence.seenAt, lastPing(presence.socket) ?? 0);
      if (now - presence.seenAt < SILENT_AFTER_MS) continue;
      this.#viewers.delete(viewer);
      gone.push(presence.socket);
    }
    return gone;
  }

  /** When the next viewer falls silent if none pings any more; null without viewers. As of the last sweep. */
  nextSweepAt(): Millis | null {
    let oldest: Millis | null = null;
    for (const { seenAt } of this.#viewers.values()) oldest = Math.min(oldest ?? seenAt, seenAt);
    return oldest === null ? null : oldest + SILENT_AFTER_MS;
  }
}
