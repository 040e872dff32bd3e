/** The figures of docs/websocket.md, written anew: the model shares nothing with what it judges. */
const SILENT_MS = 65_000;
const GRACE_MS = 20_000;
const CLOCK_SKEW_MS = 2_000;
const UNREAD_BYTES = 65_536;
const KEPT_MS = 120_000;
const KEPT_BYTES = 32_768;
const KEPT_EVENTS = 512;

/** What has become of something that time decides; `either` where only a clock that was set back leaves it open. */
type Verdict = "yes" | "no" | "either";

interface Playback {
  rendition: string | null;
  stalls: number;
  switches: number;
}

const NO_PLAYBACK: Playback = { rendition: null, stalls: 0, switches: 0 };

/** A viewer's stay. */
interface Stay {
  viewer: string;
  joinedAt: number;
  leftAt: number | null;
  /** It ended because nobody came back after a restart: it was cut off then, by the clock of that moment. */
  cutOffAt: number | null;
  playback: Playback;
  heardAt: number;
}

/** One socket. */
export interface ModelClient {
  viewer: string;
  stay: Stay;
  /** As far as the object has been told. */
  open: boolean;
  /** With what the object has to have closed it. */
  code: number | null;
  /** When it opened, and each ping. */
  signs: number[];
  messages: number[];
  /** It is known to have everything up to this event. */
  readUpTo: number;
}

interface Awaited {
  stay: Stay;
  cutOffAt: number;
  /** It counts at least until then. */
  atLeast: number;
  /** It counts until then at most; later where another restart may have been taken for its own. */
  atMost: number;
}

/** The rules of a room, as plain sets and arrays. */
export class RoomModel {
  readonly clients: ModelClient[] = [];
  readonly stays: Stay[] = [];
  /** Of all events ever; the number of one is its index and 1. */
  readonly events: { at: number; bytes: number; text: string }[] = [];
  readonly waiting = new Map<string, Awaited>();
  /** Somebody has opened a socket since all sockets were last seen gone. */
  #seated = false;

  get newest(): number {
    return this.events.length;
  }

  open(): ModelClient[] {
    return this.clients.filter(({ open }) => open);
  }

  present(): Set<string> {
    return new Set(this.open().map(({ viewer }) => viewer));
  }

  join(viewer: string, replayedFrom: number, now: number): ModelClient {
    const old = this.open().find((client) => client.viewer === viewer);
    let stay = old?.stay ?? this.waiting.get(viewer)?.stay;
    if (stay === undefined) {
      stay = { viewer, joinedAt: now, leftAt: null, cutOffAt: null, playback: NO_PLAYBACK, heardAt: Number.NEGATIVE_INFINITY };
      this.stays.push(stay);
    }
    this.waiting.delete(viewer);
    if (old !== undefined) this.#close(old, 4001);
    const client: ModelClient = { viewer, stay, open: true, code: null, signs: [now], messages: [], readUpTo: replayedFrom };
    this.clients.push(client);
    this.#seated = true;
    return client;
  }

  /** The object was told that the socket is gone, or has closed it itself. */
  leave(client: ModelClient, code: number | null, now: number): void {
    if (!client.open) return;
    this.#close(client, code);
    client.stay.leftAt = now;
  }

  tell(text: string, bytes: number, now: number): void {
    this.events.push({ at: now, bytes, text });
    for (const client of this.open()) if (this.#bytesAfter(client.readUpTo) > UNREAD_BYTES) this.leave(client, 4003, now);
  }

  /** How many of the events after `seq` a gap may name at least and at most; the others come. */
  lostAfter(seq: number, now: number): { least: number; most: number } {
    let least = seq;
    let most = seq;
    let after = 0;
    for (let next = this.newest; next > seq; next--) {
      const { at, bytes } = this.events[next - 1] as RoomModel["events"][number];
      const gone = now - at > KEPT_MS || next <= this.newest - KEPT_EVENTS || after >= KEPT_BYTES;
      if (gone) least = Math.max(least, next);
      after += bytes;
      if (gone || after > KEPT_BYTES) most = Math.max(most, next);
    }
    return { least: least - seq, most: most - seq };
  }

  /** Another object of the stream, with a greater number, has given the viewer a seat. Returns whether the one here stays. */
  claim(viewer: string, joinedAt: number, now: number): boolean {
    const here = this.open().find((client) => client.viewer === viewer);
    if (here === undefined) {
      this.giveUp(viewer, now);
      return false;
    }
    const newerBy = joinedAt - (here.signs[0] as number);
    if (newerBy < 0) return true;
    this.leave(here, newerBy < CLOCK_SKEW_MS ? 4004 : 4001, now);
    return false;
  }

  isSilent({ signs }: ModelClient, now: number): Verdict {
    if (now - Math.max(...signs) >= SILENT_MS) return "yes";
    return now - (signs.at(-1) as number) >= SILENT_MS ? "either" : "no";
  }

  isGivenUp(viewer: string, now: number): Verdict {
    const awaited = this.waiting.get(viewer);
    if (awaited === undefined || now < awaited.atLeast) return "no";
    return now >= awaited.atMost ? "yes" : "either";
  }

  giveUp(viewer: string, now: number): void {
    const awaited = this.waiting.get(viewer);
    if (awaited === undefined) return;
    this.waiting.delete(viewer);
    Object.assign(awaited.stay, { leftAt: now, cutOffAt: awaited.cutOffAt, playback: NO_PLAYBACK });
  }

  /** All sockets are gone, and the object is there again. */
  restart(now: number): void {
    this.#woken(now);
    for (const client of this.open()) {
      const { viewer, stay } = client;
      this.waiting.set(viewer, { stay, cutOffAt: now, atLeast: now + GRACE_MS, atMost: now + GRACE_MS });
      Object.assign(stay, { playback: NO_PLAYBACK, heardAt: Number.NEGATIVE_INFINITY });
      this.#close(client, null);
    }
  }

  /** The object has lost its memory, but not the sockets. */
  hibernate(now: number): void {
    if (this.open().length === 0) this.#woken(now);
  }

  /** Without a socket left nothing tells an eviction from a restart, so those that were waited for may be waited for anew; once. */
  #woken(now: number): void {
    for (const awaited of this.#seated ? this.waiting.values() : []) {
      awaited.atMost = Math.max(awaited.atMost, now + GRACE_MS);
      // Only where the clock was set back.
      awaited.atLeast = Math.min(awaited.atLeast, now + GRACE_MS);
    }
    this.#seated = false;
  }

  #bytesAfter(seq: number): number {
    let sum = 0;
    for (let next = seq; next < this.newest; next++) sum += this.events[next]?.bytes ?? 0;
    return sum;
  }

  #close(client: ModelClient, code: number | null): void {
    client.open = false;
    client.code = code;
  }
}
