import { Announcer } from "../../domain/audience/announcer.ts";
import { METADATA_LIMIT, type MessageBudget, spendMessage } from "../../domain/audience/message-limit.ts";
import { PullAudience } from "../../domain/audience/pull-audience.ts";
import type { Claim } from "../../domain/audience/settlement.ts";
import { type Member, ROOT, type ShardPlan } from "../../domain/audience/shard-plan.ts";
import { NovaError } from "../../domain/errors.ts";
import { addTallies, type PlaybackTally } from "../../domain/metrics/quality-tally.ts";
import type { Visibility } from "../../domain/protocol/api/streams.ts";
import type { PullReport } from "../../domain/protocol/audience.ts";
import type { PersonalEvent, SharedEvent, Viewers } from "../../domain/protocol/events.ts";
import type { JsonValue } from "../../domain/protocol/json-value.ts";
import { isoTime, type Millis } from "../../domain/time.ts";
import { analyticsOf } from "../analytics/sink.ts";
import { type AudienceEnv, limitsOf, shardThresholdOf } from "../audience/admission.ts";
import { EventLog } from "../audience/event-log.ts";
import type { Claims, MemberEnv, News, ShardWord } from "../audience/members.ts";
import { Room } from "../audience/room.ts";
import { Seating } from "../audience/seating.ts";
import { decodeCursor, mergeSessions, type SessionPage } from "../audience/session-pages.ts";
import type { Visit } from "../audience/visit.ts";
import { ShardHub } from "./shard-hub.ts";
import type { LiveStreamStorage } from "./storage.ts";

/** Players without a socket come and go one by one: the least time between two looks for those who have gone. */
const PULL_SWEEP_INTERVAL_MS: Millis = 2_000;

/** How long the objects of a spread audience take to agree who has whom. */
const SETTLING_MS: Millis = 700;

/** How long a count over several objects lasts until it is a peak. */
const PEAK_HOLDS_MS: Millis = 1_000;

/** What the audience needs of the stream around it. */
export interface PresenceOwner {
  ctx: DurableObjectState;
  storage: LiveStreamStorage;
  env: AudienceEnv & MemberEnv;
  streamId(): string;
  /** Null where the control plane never told. */
  visibility(): Visibility | null;
  /** What a viewer is told on connecting. */
  greet(): PersonalEvent;
  /** The count has been told. */
  onCount(now: Millis): void;
}

/** The stream's audience: who watches, here and at its shards, with a socket and without, and telling them. */
export class Presence {
  readonly #owner: PresenceOwner;
  readonly #log: EventLog;
  readonly #room: Room;
  readonly #seating: Seating;
  readonly #shards: ShardHub;
  readonly #pull = new PullAudience();
  readonly #announcer = new Announcer();
  readonly #instance: string;
  /** As last announced; null where nobody remembers. */
  #told: Pick<Viewers, "sockets" | "pull"> | null;
  #peak: number;
  #metadata: MessageBudget = { windowStart: 0, used: 0 };

  constructor(owner: PresenceOwner, now: Millis) {
    this.#owner = owner;
    const { ctx, storage, env, streamId } = owner;
    const events = storage.load("events");
    this.#instance = events?.instance ?? crypto.randomUUID();
    if (events === null) storage.save("events", { instance: this.#instance, seq: 0 });
    this.#log = new EventLog(ctx.storage.sql, events?.seq ?? 0);
    this.#peak = storage.load("peak") ?? 0;
    const member = () => ROOT;
    const onLeave = (players: readonly number[], at: Millis) => this.#pull.leave(players, at);
    const onChange = (at: Millis) => this.#changed(at);
    this.#room = new Room(
      { ctx, log: this.#log, limits: limitsOf(env), analytics: analyticsOf(env), streamId, member, onLeave, onChange },
      now,
    );
    const news = () => ({ instance: this.#instance, visibility: owner.visibility(), greeting: owner.visibility() && owner.greet() });
    this.#shards = new ShardHub({ ctx, env, storage, log: this.#log, streamId, rootViewers: () => this.#room.count, news });
    const threshold = shardThresholdOf(env);
    this.#told = this.#log.lastCount();
    this.#seating = new Seating({
      ctx,
      env,
      room: this.#room,
      threshold,
      streamId,
      member,
      plan: () => this.#shards.plan,
      learn: () => undefined,
    });
    this.#seating.claimAll();
  }

  /** Distinct viewers with a socket, and those who are waited for after a restart. */
  get count(): number {
    return this.#room.count + this.#shards.total(Date.now());
  }

  get peak(): number {
    return this.#shards.isSpread ? this.#peak : Math.max(this.#peak, this.count);
  }

  get instance(): string {
    return this.#instance;
  }

  /** Where new viewers go; null while the stream's own object has them all. */
  get plan(): ShardPlan | null {
    return this.#shards.isSpread ? this.#shards.plan : null;
  }

  /** Who watches, exact but for players without a socket. */
  viewers(now: Millis): Viewers {
    const connected = this.#room.connected + this.#shards.connected(now);
    return { connected, sockets: this.count, pull: this.#pullCount(now) };
  }

  /** What players with a socket say, here and at the shards. */
  playback(now: Millis): PlaybackTally {
    return addTallies(this.#room.playback(), this.#shards.playback(now));
  }

  /** Lets a visitor in, and answers with its socket. Throws as `Seating.assertSeat` and `Room.admit`. */
  open(visit: Visit, now: Millis): Response {
    this.#seating.assertSeat(visit.viewer);
    this.#room.admit(visit, now);
    const { 0: client, 1: server } = new WebSocketPair();
    this.#room.join(server, visit, this.#instance, () => this.#owner.greet(), now);
    this.#seating.seated(visit.viewer, now);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** A socket closed or broke. */
  leave(socket: WebSocket, now: Millis): void {
    this.#room.leave(socket, now);
  }

  /** A client's message: kept to the protocol, or its socket closed. */
  receive(socket: WebSocket, message: string | ArrayBuffer, now: Millis): void {
    this.#room.receive(socket, message, now);
  }

  /** A shard says how many it has. Returns what it is to know. */
  hearShard(word: ShardWord, now: Millis): News {
    const before = [this.#shards.total(now), this.#shards.connected(now)];
    const news = this.#shards.hear(word, now);
    if (before.join() !== [this.#shards.total(now), this.#shards.connected(now)].join()) this.#changed(now);
    return news;
  }

  /** Seats of a shard; returns those here that stay. Nobody knows a newer plan than this. */
  judge(claims: Claim[], there: Member, now: Millis): Claims {
    return { plan: this.#shards.plan, claims: this.#room.judge(claims, there, now) };
  }

  /** Does what time has brought. */
  sweep(now: Millis): void {
    this.#room.sweep(now);
    this.#shards.tick(now);
    if (this.#told !== null && (this.count !== this.#told.sockets || this.#pullCount(now) !== this.#told.pull)) this.#changed(now);
  }

  /** When the next sweep is due; null where nobody watches. */
  nextSweepAt(now: Millis): Millis | null {
    const pullExpiry = this.#pull.nextExpiryAt();
    const pull = pullExpiry === null ? null : Math.max(pullExpiry, now + PULL_SWEEP_INTERVAL_MS);
    const times = [this.#room.nextSweepAt(now), this.#shards.nextTickAt(now), pull].filter((at) => at !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Tells everybody. Returns the event's number. */
  tell(event: SharedEvent, now: Millis): number {
    const sent = this.#log.append(event, now);
    if (event.event === "viewer_count_changed") this.#announcer.announced(now);
    this.#room.broadcast(sent, now);
    this.#shards.told();
    return sent.seq;
  }

  /** Tells everybody what the broadcaster sends along. Throws 429 `too_many_messages`. */
  sendMetadata(at: Millis, payload: JsonValue, now: Millis): number {
    const budget = spendMessage(this.#metadata, METADATA_LIMIT, now);
    if (budget === null) throw new NovaError(429, "too_many_messages", "at most 5 messages a second for a stream: send fewer, larger ones");
    this.#metadata = budget;
    return this.tell({ event: "timed_metadata", data: { at: isoTime(at), payload } }, now);
  }

  /** An isolate of the Worker has seen players ask for playlists. */
  reportPull(report: PullReport, now: Millis): void {
    const before = this.#pullCount(now);
    this.#pull.report(report, now);
    if (this.#pullCount(now) !== before) this.#changed(now);
  }

  /** The stays of viewers, the newest first. Throws 400 `invalid_cursor`. */
  async sessions(query: { cursor: string | null; limit: number }): Promise<SessionPage> {
    const cursor = decodeCursor(query.cursor);
    // One that was on the page before, and one that shows that there is another page.
    const limit = query.limit + 2;
    const shards = await this.#shards.sessions(cursor.id, limit, Date.now());
    return mergeSessions([{ member: ROOT, rows: this.#room.sessions(cursor.id, limit) }, ...shards], cursor, query.limit, Date.now());
  }

  /** A new broadcast begins: its peak starts from those who wait for it. */
  restartPeak(): void {
    this.#peak = this.count;
    this.#owner.storage.save("peak", this.#peak);
  }

  #pullCount(now: Millis): number {
    const { keys, threshold } = this.#shards.players();
    // Put together only where there is a player to look for.
    let players: Set<number> | null = null;
    const hasSocket = (player: number) => {
      players ??= new Set([...this.#room.players(), ...keys]);
      return players.has(player);
    };
    return this.#pull.count(now, hasSocket, threshold);
  }

  #changed(now: Millis): void {
    this.#shards.decide(now);
    const { isSpread } = this.#shards;
    if (!isSpread) this.#peak = Math.max(this.#peak, this.count);
    const due = this.#announcer.changed(now, this.count);
    if (due === null) return;
    const wait = isSpread ? Math.max(due, SETTLING_MS) : due;
    if (wait === 0) this.#announce(now);
    // A pending timer keeps the object awake, so it is not lost to hibernation.
    else setTimeout(() => this.#announce(Date.now()), wait);
  }

  /** A count over several objects is a peak when it holds: a viewer who moves may be at two of them for a moment. */
  #confirmPeak(seen: number): void {
    const peak = Math.max(this.#peak, Math.min(seen, this.count));
    if (peak === this.#peak) return;
    this.#peak = peak;
    this.#changed(Date.now());
  }

  #announce(now: Millis): void {
    if ((this.#owner.storage.load("peak") ?? 0) < this.#peak) this.#owner.storage.save("peak", this.#peak);
    this.#shards.keep();
    const viewers = this.viewers(now);
    this.#told = viewers;
    if (viewers.sockets > this.#peak) setTimeout(() => this.#confirmPeak(viewers.sockets), PEAK_HOLDS_MS);
    const counts = { viewer_count: viewers.sockets, peak_viewers: this.#peak, viewers };
    this.tell({ event: "viewer_count_changed", data: { stream_id: this.#owner.streamId(), ...counts, timestamp: isoTime(now) } }, now);
    this.#owner.onCount(now);
  }
}
