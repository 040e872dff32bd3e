import { Announcer } from "../../domain/audience/announcer.ts";
import { Audience } from "../../domain/audience/audience.ts";
import { CloseCode, type ServerEvent } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";
import { Sockets } from "./sockets.ts";
import type { LiveStreamStorage } from "./storage.ts";

/** Least time between two sweeps for silent viewers. */
const SWEEP_INTERVAL_MS: Millis = 2_000;

/** Who watches, and telling them: the audience over the open sockets. Rebuilt from the sockets whenever the object wakes. */
export class Presence {
  readonly #storage: LiveStreamStorage;
  readonly #sockets: Sockets;
  readonly #audience: Audience<string>;
  readonly #announcer = new Announcer();
  readonly #announce: () => void;
  #events: { instance: string; seq: number };

  /** @param announce called when the count is due to be told, with nothing pending after it */
  constructor(ctx: DurableObjectState, storage: LiveStreamStorage, announce: () => void) {
    this.#storage = storage;
    this.#announce = announce;
    this.#sockets = new Sockets(ctx);
    this.#events = storage.load("events") ?? { instance: crypto.randomUUID(), seq: 0 };
    this.#audience = new Audience(storage.load("peak") ?? 0);
    for (const { id, viewer, joinedAt } of this.#sockets.entries().sort((a, b) => a.joinedAt - b.joinedAt)) {
      const replaced = this.#audience.join(viewer, id, joinedAt);
      if (replaced !== null) this.#sockets.close(replaced, CloseCode.replaced, "watching elsewhere");
    }
  }

  get count(): number {
    return this.#audience.count;
  }

  get peak(): number {
    return this.#audience.peak;
  }

  get instance(): string {
    return this.#events.instance;
  }

  /** A viewer's socket: counted, and greeted with `established`. */
  join(socket: WebSocket, viewer: string, established: () => ServerEvent, now: Millis): void {
    const id = this.#sockets.accept(socket, viewer, now);
    const before = this.count;
    const replaced = this.#audience.join(viewer, id, now);
    if (replaced !== null) this.#sockets.close(replaced, CloseCode.replaced, "watching elsewhere");
    this.#sockets.send(id, established(), this.#events.seq);
    if (this.count !== before) this.#changed(now);
  }

  /** A socket closed or broke. */
  leave(socket: WebSocket, now: Millis): void {
    const { id, viewer } = this.#sockets.forget(socket);
    if (this.#audience.leave(viewer, id)) this.#changed(now);
  }

  /** A client's message: kept to the protocol, or its socket closed. */
  receive(socket: WebSocket, message: string | ArrayBuffer, now: Millis): void {
    if (!this.#sockets.receive(socket, message, now)) this.leave(socket, now);
  }

  /** Drops viewers whose sockets have fallen silent. */
  sweep(now: Millis): void {
    const silent = this.#audience.sweep(now, (id) => this.#sockets.lastPing(id));
    for (const id of silent) this.#sockets.close(id, CloseCode.silent, "no ping for 65 s");
    if (silent.length > 0) this.#changed(now);
  }

  /** When the next sweep may find somebody; null without viewers. */
  nextSweepAt(now: Millis): Millis | null {
    const due = this.#audience.nextSweepAt();
    return due === null ? null : Math.max(due, now + SWEEP_INTERVAL_MS);
  }

  /** Tells everybody, numbered. */
  tell(event: ServerEvent, now: Millis): void {
    this.#events = { ...this.#events, seq: this.#events.seq + 1 };
    this.#storage.save("events", this.#events);
    if (event.event === "viewer_count_changed") this.#announcer.announced(now);
    this.#sockets.broadcast(event, this.#events.seq);
  }

  /** A new broadcast begins: its peak starts from those who wait for it. */
  restartPeak(): void {
    this.#audience.restartPeak();
    this.#storage.save("peak", this.peak);
  }

  #changed(now: Millis): void {
    const wait = this.#announcer.changed(now);
    if (wait === null) return;
    if (wait === 0) this.#due();
    // A pending timer keeps the object awake, so it is not lost to hibernation.
    else setTimeout(() => this.#due(), wait);
  }

  #due(): void {
    if ((this.#storage.load("peak") ?? 0) < this.peak) this.#storage.save("peak", this.peak);
    this.#announce();
  }
}
