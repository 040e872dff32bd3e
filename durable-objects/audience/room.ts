import { Audience, GRACE_MS } from "../../domain/audience/audience.ts";
import type { SentEvent } from "../../domain/audience/replay.ts";
import { type Claim, judgeSeat } from "../../domain/audience/settlement.ts";
import type { Member } from "../../domain/audience/shard-plan.ts";
import { NovaError } from "../../domain/errors.ts";
import { newStalls } from "../../domain/metrics/new-stalls.ts";
import { type PlaybackTally, tallyRenditions } from "../../domain/metrics/quality-tally.ts";
import { CloseCode, MAX_UNACKNOWLEDGED_BYTES, type PersonalEvent, type PlaybackFrame } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";
import type { AnalyticsSink } from "../analytics/sink.ts";
import { readClientFrame, type Violation } from "./client-frames.ts";
import type { EventLog } from "./event-log.ts";
import { noteSockets, socketsInProcess } from "./process-sockets.ts";
import { type LastingSession, type PlaybackTotals, type SessionRow, Sessions, joinedAt as sessionStart } from "./sessions.ts";
import { type Seat, Sockets } from "./sockets.ts";
import type { Visit } from "./visit.ts";

/** Least time between two sweeps for silent viewers. */
const SWEEP_INTERVAL_MS: Millis = 2_000;
/** What a player says of itself more often is not heard; a little less than the 10 s that it is told, for clocks that differ. */
const PLAYBACK_INTERVAL_MS: Millis = 9_000;
/** How much further the limits reach for a viewer who comes again. */
const BACK_SHARE = 1.05;
/** How old the mark before which no session lasts may get, once nobody is left. */
const MARK_INTERVAL_MS: Millis = 3_600_000;

/** How many sockets an object takes. */
export interface RoomLimits {
  sockets: number;
  socketsPerAddress: number;
  /** Of all objects in a process; null where the platform cares for it. */
  socketsInProcess: number | null;
}

/** What a room needs of the object around it. */
export interface RoomOwner {
  ctx: DurableObjectState;
  log: EventLog;
  limits: RoomLimits;
  analytics: AnalyticsSink;
  streamId(): string;
  /** Which of the stream's objects it is. */
  member(): Member;
  /** A viewer has left, and these players with it. */
  onLeave?(players: readonly number[], now: Millis): void;
  /** Who watches has changed. */
  onChange(now: Millis): void;
}

/** What the object remembers of its room, beside the sessions. */
interface RoomFacts {
  /** No session with a lesser id lasts. */
  lastingFrom: number;
  /**
   * Until when viewers who lost their socket to a restart are waited for; and whether anybody has been seated meanwhile, so that an object
   * without sockets has been restarted once more.
   */
  grace: { until: Millis; seated: boolean };
}

/**
 * The viewers at one object: their sockets, sessions and limits. A stream's root has one, and each of its shards. Rebuilt from the sockets
 * whenever the object wakes; where a restart took all sockets, from the sessions that last, which are waited for.
 */
export class Room {
  readonly #owner: RoomOwner;
  readonly #sockets: Sockets;
  readonly #sessions: Sessions;
  readonly #audience = new Audience<string>();
  /** Sessions of viewers who are waited for. */
  readonly #waiting = new Map<string, LastingSession>();
  #grace: RoomFacts["grace"] | null;
  /** Since this life began. */
  #stalls = 0;
  #joins = 0;

  constructor(owner: RoomOwner, now: Millis) {
    this.#owner = owner;
    this.#sockets = new Sockets(owner.ctx);
    this.#sessions = new Sessions(owner.ctx.storage.sql);
    const seats = this.#sockets.seats().sort((a, b) => a.joinedAt - b.joinedAt);
    for (const { viewer, id, joinedAt } of seats) this.#closeReplaced(this.#audience.join(viewer, id, joinedAt), now);
    this.#noteSockets();
    this.#grace = this.#load("grace");
    // Whatever restarts an object but hibernation takes all of its sockets.
    const isRestarted = this.#sockets.size === 0 && (this.#grace === null || this.#grace.seated);
    if (isRestarted || this.#grace !== null) this.#awaitViewers(isRestarted, now);
  }

  /** Distinct viewers with an open socket. */
  get connected(): number {
    return this.#audience.connected;
  }

  /** Those, and who is waited for. */
  get count(): number {
    return this.#audience.count;
  }

  /** Lets a visitor in, or throws 429 `too_many_sockets`, 503 `too_many_viewers`. */
  admit({ viewer, address }: Visit, now: Millis): void {
    this.#sockets.giveUpClosing(now);
    const { sockets, socketsPerAddress, socketsInProcess: inProcess } = this.#owner.limits;
    // Who has a socket here may come again, though the old one takes room until its client has closed it.
    const isBack = this.#audience.socketOf(viewer) !== null;
    const isOver = (held: number, most: number) => held >= (isBack ? Math.ceil(most * BACK_SHARE) : most);
    if (isOver(this.#sockets.held, sockets) || (inProcess !== null && isOver(socketsInProcess(), inProcess))) {
      throw new NovaError(503, "too_many_viewers", "no more viewers can be connected here: the stream plays without a socket, too");
    }
    if (address !== null && isOver(this.#sockets.countFrom(address), socketsPerAddress)) {
      throw new NovaError(429, "too_many_sockets", `at most ${socketsPerAddress} sockets from one address: close some first`);
    }
  }

  /** A visitor's socket: counted, greeted, and told what it missed. */
  join(socket: WebSocket, visit: Visit, instance: string, greet: () => PersonalEvent, now: Millis): void {
    const { log, analytics } = this.#owner;
    const { viewer, device, country, address, resume } = visit;
    const players: Seat["players"] = [visit.player, visit.nextPlayer];
    const { count, connected } = this;
    const oldId = this.#audience.socketOf(viewer);
    const old = oldId === null ? null : this.#sockets.seat(oldId);
    const lasting = old?.session ?? this.#waiting.get(viewer)?.id;
    const session = lasting ?? this.#sessions.open(viewer, device, country, now);
    if (lasting === undefined) this.#joins += 1;
    this.#stopWaiting(viewer);
    if (this.#grace?.seated === false) this.#keepGrace({ ...this.#grace, seated: true });
    const playback = old?.playback ?? { rendition: null, stalls: 0, switches: 0, at: 0 };
    const budget = { windowStart: now, used: 0 };
    const missed = resume !== null && log.knows(instance, resume) ? log.after(resume.seq, now) : null;
    const sent = missed?.events.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
    const seat: Seat = {
      ...{ id: crypto.randomUUID(), viewer, joinedAt: now, session, device, country, address, players, budget, playback },
      readBytes: log.bytes - sent,
      isBack: resume !== null && old === null,
      closedAt: null,
    };
    this.#sockets.accept(socket, seat);
    this.#closeReplaced(this.#audience.join(viewer, seat.id, now), now);
    this.#noteSockets();
    this.#sendPersonal(seat.id, greet(), missed === null ? log.seq : (resume?.seq ?? 0));
    const gap = missed === null && resume !== null && log.seq > 0 ? { from: 1, to: log.seq } : (missed?.gap ?? null);
    if (gap !== null) this.#sendPersonal(seat.id, { event: "gap", data: gap }, gap.to);
    for (const { text } of missed?.events ?? []) this.#sockets.send(seat.id, text);
    if (lasting === undefined) analytics.write({ kind: "join", stream: this.#owner.streamId(), device, country });
    if (this.count !== count || this.connected !== connected) this.#owner.onChange(now);
  }

  /** A socket closed or broke. */
  leave(socket: WebSocket, now: Millis): void {
    const seat = this.#sockets.end(socket);
    if (seat === null) return this.#noteSockets();
    this.#left(seat, now);
  }

  /** A client's message: kept to the protocol, or its socket closed. */
  receive(socket: WebSocket, message: string | ArrayBuffer, now: Millis): void {
    const seat = this.#sockets.find(socket);
    if (seat === null) return;
    const read = readClientFrame(message, seat, now);
    if ("closeCode" in read) return this.#refuse(seat, read, now);
    const { frame, budget } = read;
    if (frame.type === "playback") {
      const playback = heard(seat, frame, now);
      if (playback !== seat.playback) this.#stalls += newStalls(frame.stalls, seat.playback, seat, now);
      return this.#sockets.update({ ...seat, budget, playback });
    }
    if (frame.seq > this.#owner.log.seq) {
      return this.#refuse(seat, { closeCode: CloseCode.invalid, code: "unknown_event", message: "acknowledges what was never sent" }, now);
    }
    const readBytes = Math.max(seat.readBytes, this.#owner.log.bytesUpTo(frame.seq) ?? 0);
    this.#sockets.update({ ...seat, budget, readBytes });
  }

  /** Tells everybody what a hole in the log has cost them. */
  tellGap(gap: { from: number; to: number }): void {
    this.#sockets.broadcast(JSON.stringify({ event: "gap", seq: gap.to, data: gap }));
  }

  /** Sends an event of the log to everybody, and drops those who do not read. */
  broadcast(event: Pick<SentEvent, "text">, now: Millis): void {
    this.#sockets.broadcast(event.text);
    const { bytes } = this.#owner.log;
    for (const seat of this.#sockets.filter(({ readBytes }) => bytes - readBytes > MAX_UNACKNOWLEDGED_BYTES)) {
      this.#drop(seat, CloseCode.slow, "64 KiB unacknowledged: acknowledge what you have read", now);
    }
  }

  /** Judges a viewer's seats here against those that another member claims. Returns those here that stay, for the other to judge by. */
  judge(claims: readonly Claim[], there: Member, now: Millis): Claim[] {
    const staying: Claim[] = [];
    for (const { viewer, joinedAt } of claims) {
      const id = this.#audience.socketOf(viewer);
      const seat = id === null ? null : this.#sockets.seat(id);
      if (seat === null) {
        this.#giveUp(viewer, now);
        continue;
      }
      const verdict = judgeSeat({ member: this.#owner.member(), joinedAt: seat.joinedAt }, { member: there, joinedAt });
      if (verdict === "stays") staying.push({ viewer, joinedAt: seat.joinedAt });
      else this.#drop(seat, CloseCode[verdict], "watching elsewhere", now);
    }
    return staying;
  }

  /** Everybody who has a socket here, and since when. */
  claims(): Claim[] {
    return this.#sockets.seats().map(({ viewer, joinedAt }) => ({ viewer, joinedAt }));
  }

  /** Since when a viewer has had its socket here; null without one. */
  joinedAt(viewer: string): Millis | null {
    const id = this.#audience.socketOf(viewer);
    return id === null ? null : (this.#sockets.seat(id)?.joinedAt ?? null);
  }

  /** What the players here say. */
  playback(): PlaybackTally {
    const renditions = tallyRenditions(this.#sockets.seats().map(({ playback }) => playback.rendition));
    return { renditions, stalls: this.#stalls, joins: this.#joins };
  }

  /** The players of those who have a socket here. */
  players(): Set<number> {
    return new Set(this.#sockets.seats().flatMap(({ players }) => players));
  }

  /** Drops viewers whose sockets have fallen silent, gives those up who did not come back, and deletes old sessions. */
  sweep(now: Millis): void {
    const { silent, lapsed } = this.#audience.sweep(now, (id) => this.#sockets.lastPing(id));
    for (const id of silent) {
      const seat = this.#sockets.seat(id);
      this.#sockets.close(id, CloseCode.silent, "no ping for 65 s", now);
      if (seat !== null) this.#endSession({ ...seat, id: seat.session }, seat.playback, now);
    }
    // They left when the restart took their sockets.
    const restartedAt = Math.min(this.#grace?.until ?? now, now) - GRACE_MS;
    for (const viewer of lapsed) this.#endWaiting(viewer, restartedAt);
    if (silent.length + lapsed.length > 0) this.#changed(now);
    if ((this.#sessions.nextPurgeAt() ?? now + 1) <= now) this.#sessions.purge(now);
  }

  /** When `sweep` is due; null where nothing is. */
  nextSweepAt(now: Millis): Millis | null {
    const due = this.#audience.nextSweepAt();
    const purge = this.#sessions.nextPurgeAt();
    const times = [due === null ? null : Math.max(due, now + SWEEP_INTERVAL_MS), this.#grace?.until ?? null, purge].filter(
      (at) => at !== null,
    );
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Sessions up to and with the id `to`, the newest first; of those that last, with what the player said last. */
  sessions(to: number, limit: number): SessionRow[] {
    const lasting = new Map(this.#sockets.seats().map((seat) => [seat.session, seat.playback]));
    return this.#sessions.page(to, limit).map((row) => {
      const { rendition, stalls, switches } = (row.leftAt === null ? lasting.get(row.id) : undefined) ?? row;
      return { ...row, rendition, stalls, switches };
    });
  }

  #refuse(seat: Seat, { closeCode, code, message }: Violation, now: Millis): void {
    this.#sendPersonal(seat.id, { event: "error", data: { code, message, recoverable: false } }, this.#owner.log.seq);
    this.#drop(seat, closeCode, message, now);
  }

  #drop(seat: Seat, code: number, reason: string, now: Millis): void {
    this.#sockets.close(seat.id, code, reason, now);
    this.#left(seat, now);
  }

  #left(seat: Seat, now: Millis): void {
    // A newer socket of the same viewer goes on with the session.
    if (!this.#audience.leave(seat.viewer, seat.id)) return this.#noteSockets();
    this.#endSession({ ...seat, id: seat.session }, seat.playback, now);
    this.#owner.onLeave?.(seat.players, now);
    this.#changed(now);
  }

  #giveUp(viewer: string, now: Millis): void {
    if (!this.#audience.giveUp(viewer)) return;
    this.#endWaiting(viewer, now);
    this.#changed(now);
  }

  #changed(now: Millis): void {
    this.#noteSockets();
    // Without a socket it is no restart that takes them all.
    if (this.#sockets.size === 0 && this.#grace?.seated) this.#keepGrace({ ...this.#grace, seated: false });
    if (this.#audience.count === 0) this.#markLasting();
    this.#owner.onChange(now);
  }

  #endSession({ id, device, country }: Omit<LastingSession, "viewer">, playback: PlaybackTotals, leftAt: Millis): void {
    this.#sessions.close(id, playback, leftAt);
    const seconds = Math.max(0, leftAt - sessionStart(id)) / 1000;
    this.#owner.analytics.write({ kind: "leave", stream: this.#owner.streamId(), device, country, seconds });
  }

  #endWaiting(viewer: string, leftAt: Millis): void {
    const session = this.#waiting.get(viewer);
    // What its player had said went with the restart.
    if (session !== undefined) this.#endSession(session, { rendition: null, stalls: 0, switches: 0 }, leftAt);
    this.#stopWaiting(viewer);
  }

  #stopWaiting(viewer: string): void {
    if (this.#waiting.delete(viewer) && this.#waiting.size === 0) this.#keepGrace(null);
  }

  /** After a restart: the viewers whose sessions last have until then to come back. */
  #awaitViewers(isRestarted: boolean, now: Millis): void {
    const until = isRestarted ? now + GRACE_MS : (this.#grace?.until ?? now);
    for (const session of this.#sessions.lasting(this.#load("lastingFrom") ?? 0)) {
      const { viewer } = session;
      if (this.#audience.socketOf(viewer) !== null) continue;
      this.#audience.expect(viewer, until);
      this.#waiting.set(viewer, session);
    }
    if (this.#waiting.size === 0) this.#keepGrace(null);
    else if (isRestarted) this.#keepGrace({ until, seated: false });
  }

  #keepGrace(grace: RoomFacts["grace"] | null): void {
    if (grace === null && this.#grace === null) return;
    this.#grace = grace;
    if (grace === null) this.#owner.ctx.storage.kv.delete("grace");
    else this.#save("grace", grace);
  }

  #markLasting(): void {
    const next = this.#sessions.lastId + 1;
    if (sessionStart(next) - sessionStart(this.#load("lastingFrom") ?? 0) > MARK_INTERVAL_MS) this.#save("lastingFrom", next);
  }

  #closeReplaced(id: string | null, now: Millis): void {
    if (id !== null) this.#sockets.close(id, CloseCode.replaced, "watching elsewhere", now);
  }

  #sendPersonal(id: string, event: PersonalEvent, seq: number): void {
    this.#sockets.send(id, JSON.stringify({ ...event, seq }));
  }

  #noteSockets(): void {
    noteSockets(this.#owner.ctx.id.toString(), this.#sockets.unended);
  }

  #load<Name extends keyof RoomFacts>(name: Name): RoomFacts[Name] | null {
    return this.#owner.ctx.storage.kv.get<RoomFacts[Name]>(name) ?? null;
  }

  #save<Name extends keyof RoomFacts>(name: Name, value: RoomFacts[Name]): void {
    this.#owner.ctx.storage.kv.put(name, value);
  }
}

function heard(seat: Seat, { rendition, stalls, switches }: PlaybackFrame, now: Millis): Seat["playback"] {
  const age = now - seat.playback.at;
  if (age >= 0 && age < PLAYBACK_INTERVAL_MS) return seat.playback;
  return { rendition, stalls, switches, at: now };
}
