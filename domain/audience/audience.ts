import type { Millis } from "../time.ts";

/** A viewer with no ping for this long is gone: a half-open socket never says so itself. */
export const SILENT_AFTER_MS: Millis = 65_000;
/** How long viewers who lost their socket to a restart of ours are waited for. */
export const GRACE_MS: Millis = 20_000;

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
  /** Viewers whose socket our own restart took, and until when each is waited for. None of them has a socket. */
  readonly #expected = new Map<string, Millis>();
  /** No viewer has been silent, or away, too long before this. */
  #sweepFrom: Millis = Number.POSITIVE_INFINITY;

  /** Distinct viewers with an open socket. */
  get connected(): number {
    return this.#viewers.size;
  }

  /** Those, and who is waited for. */
  get count(): number {
    return this.#viewers.size + this.#expected.size;
  }

  /** A viewer's open socket; null without one. */
  socketOf(viewer: string): Socket | null {
    return this.#viewers.get(viewer)?.socket ?? null;
  }

  /** A viewer's socket is open. Returns the socket that it takes the place of, to be closed. */
  join(viewer: string, socket: Socket, at: Millis): Socket | null {
    const replaced = this.#viewers.get(viewer)?.socket ?? null;
    this.#expected.delete(viewer);
    this.#viewers.set(viewer, { socket, seenAt: at });
    this.#sweepFrom = Math.min(this.#sweepFrom, at + SILENT_AFTER_MS);
    return replaced === socket ? null : replaced;
  }

  /** A socket closed. Returns whether a viewer left: not where a newer socket has taken its place. */
  leave(viewer: string, socket: Socket): boolean {
    if (this.#viewers.get(viewer)?.socket !== socket) return false;
    return this.#viewers.delete(viewer);
  }

  /** A viewer that our own restart cut off counts until then, unless it is back. */
  expect(viewer: string, until: Millis): void {
    if (this.#viewers.has(viewer)) return;
    this.#expected.set(viewer, until);
    this.#sweepFrom = Math.min(this.#sweepFrom, until);
  }

  /** A viewer that is waited for has turned up elsewhere. Returns whether it was waited for. */
  giveUp(viewer: string): boolean {
    return this.#expected.delete(viewer);
  }

  /** Removes those who have been silent, or away, too long, and returns them. `lastPing` gives a socket's newest sign of life, or null. */
  sweep(now: Millis, lastPing: (socket: Socket) => Millis | null): { silent: Socket[]; lapsed: string[] } {
    const silent: Socket[] = [];
    for (const [viewer, presence] of this.#viewers) {
      presence.seenAt = Math.max(presence.seenAt, lastPing(presence.socket) ?? 0);
      if (now - presence.seenAt < SILENT_AFTER_MS) continue;
      this.#viewers.delete(viewer);
      silent.push(presence.socket);
    }
    const lapsed = [...this.#expected].filter(([, until]) => until <= now).map(([viewer]) => viewer);
    for (const viewer of lapsed) this.#expected.delete(viewer);
    this.#sweepFrom = this.#earliestLoss();
    return { silent, lapsed };
  }

  /** When to sweep next: nobody can have been silent, or away, too long before. Null where nobody is here. */
  nextSweepAt(): Millis | null {
    return this.count === 0 ? null : this.#sweepFrom;
  }

  #earliestLoss(): Millis {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { seenAt } of this.#viewers.values()) earliest = Math.min(earliest, seenAt + SILENT_AFTER_MS);
    for (const until of this.#expected.values()) earliest = Math.min(earliest, until);
    return earliest;
  }
}
