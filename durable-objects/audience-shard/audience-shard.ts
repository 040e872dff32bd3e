import { DurableObject } from "cloudflare:workers";
import { SHARD_RENEWAL_MS } from "../../domain/audience/shard-ledger.ts";
import { firstPlan, type Member, newerPlan, reportIntervalOf, type ShardPlan } from "../../domain/audience/shard-plan.ts";
import { NovaError } from "../../domain/errors.ts";
import type { ResumePoint } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";
import type { ReloadQuery } from "../../domain/timeline/reload.ts";
import { analyticsOf } from "../analytics/sink.ts";
import { type AudienceEnv, answerUpgrade, assertMayWatch, limitsOf, shardThresholdOf } from "../audience/admission.ts";
import { CloseAnswers } from "../audience/close-answers.ts";
import { EventLog } from "../audience/event-log.ts";
import { type Claims, type MemberEnv, type News, type Place, rootOf } from "../audience/members.ts";
import { Room } from "../audience/room.ts";
import { Seating } from "../audience/seating.ts";
import type { SessionRow } from "../audience/sessions.ts";
import { visitOf } from "../audience/visit.ts";
import type { Outcome } from "../live-stream/outcome.ts";
import type { MediaPlaylistAnswer, PartAddress, PartBytes, PlaylistAnswer, SegmentAddress } from "../live-stream/playback.ts";
import { Relay } from "./relay.ts";
import { Reporter } from "./reporter.ts";

/** How old the root's word may be for a new viewer to be greeted with. */
const NEWS_FRESH_MS: Millis = 2 * SHARD_RENEWAL_MS;

/** How often a viewer who has heard more makes the shard ask. */
const MAX_CATCH_UPS = 3;

type ShardEnv = AudienceEnv & MemberEnv;

/**
 * A part of a large audience: sockets that the stream's own object has no room for. It counts and serves them as the root does, tells the root how many
 * they are, and passes on what the root says. Players ask it for playlists and parts too, so that the root is asked by its shards only.
 */
export class AudienceShard extends DurableObject<ShardEnv> {
  readonly #log: EventLog;
  readonly #room: Room;
  readonly #closeAnswers = new CloseAnswers();
  readonly #seating: Seating;
  readonly #reporter: Reporter;
  readonly #relay: Relay;
  /** It knows from which event on it has to tell. */
  #hasBegun: boolean;
  #place: Place | null;
  #plan: ShardPlan;
  #news: (News & { at: Millis }) | null = null;
  #alarmAt: Millis | null = null;

  constructor(ctx: DurableObjectState, env: ShardEnv) {
    super(ctx, env);
    const { kv, sql } = ctx.storage;
    this.#place = kv.get<Place>("place") ?? null;
    this.#plan = kv.get<ShardPlan>("plan") ?? firstPlan(0);
    const begun = kv.get<number>("begunAt");
    this.#hasBegun = begun !== undefined;
    this.#log = new EventLog(sql, begun ?? 0);
    const limits = limitsOf(env);
    const streamId = () => this.#own.stream;
    const member = () => this.#own.member;
    const onChange = (now: Millis) => this.#changed(now);
    this.#room = new Room({ ctx, log: this.#log, limits, analytics: analyticsOf(env), streamId, member, onChange }, Date.now());
    const threshold = shardThresholdOf(env);
    this.#seating = new Seating({
      ctx,
      env,
      room: this.#room,
      threshold,
      streamId,
      member,
      plan: () => this.#plan,
      learn: (plan) => this.#learn(plan),
    });
    this.#reporter = new Reporter({
      ctx,
      room: this.#room,
      heard: () => (this.#hasBegun ? this.#log.seq : null),
      plan: () => this.#plan,
      interval: () => (this.#room.connected >= threshold ? 0 : reportIntervalOf(this.#plan)),
      send: async (word) => this.#take(await rootOf(env, this.#own.stream).shardWord({ ...word, shard: this.#own.member })),
    });
    this.#relay = new Relay(() => rootOf(env, this.#own.stream));
    if (this.#place === null) return;
    this.#schedule(Date.now());
    this.#seating.claimAll();
  }

  /** The root's news. Returns the number of the newest event that the shard has. */
  hear(place: Place, news: News): number {
    this.#settle(place);
    this.#take(news);
    return this.#log.seq;
  }

  /** The root has lost sight of the shard: it says at once how many it has. */
  census(place: Place): Promise<void> {
    this.#settle(place);
    return this.#reporter.report();
  }

  /** Another member's seats, and the plan by which it gave them. Returns those here that stay. */
  claim(place: Place, from: Member, { plan, claims }: Claims): Claims {
    this.#settle(place);
    this.#learn(plan);
    return { plan: this.#plan, claims: this.#room.judge(claims, from, Date.now()) };
  }

  /** Sessions of viewers here, up to and with the id `to`, the newest first. */
  sessions(place: Place, to: number, limit: number): SessionRow[] {
    this.#settle(place);
    return this.#room.sessions(to, limit);
  }

  mediaPlaylist(
    place: Place,
    broadcast: number | null,
    rendition: string,
    query: ReloadQuery,
    delta: boolean,
  ): Promise<Outcome<MediaPlaylistAnswer>> {
    this.#settle(place);
    return this.#relay.mediaPlaylist(broadcast, rendition, query, delta);
  }

  multivariantPlaylist(place: Place, broadcast: number | null): Promise<Outcome<PlaylistAnswer>> {
    this.#settle(place);
    return this.#relay.multivariantPlaylist(broadcast);
  }

  manifest(place: Place, broadcast: number | null): Promise<Outcome<PlaylistAnswer>> {
    this.#settle(place);
    return this.#relay.manifest(broadcast);
  }

  readPart(place: Place, address: PartAddress): Promise<Outcome<PartBytes>> {
    this.#settle(place);
    return this.#relay.readPart(address);
  }

  assertOpen(place: Place, address: SegmentAddress): Promise<Outcome<null>> {
    this.#settle(place);
    return this.#relay.assertOpen(address);
  }

  /** A visitor's WebSocket. */
  override fetch(request: Request): Promise<Response> {
    return answerUpgrade(async () => {
      const visit = visitOf(request);
      if (visit === null) throw new NovaError(404, "stream_not_found", "no such stream: check the id");
      this.#settle(visit.place);
      if (visit.plan !== null) this.#learn(visit.plan);
      await this.#catchUp(visit.resume);
      if (this.#seating.isFull(visit.viewer)) await this.#reporter.report();
      // From here on nothing is waited for: what the viewer is told is what the shard knows now.
      if (this.#news === null) throw new NovaError(503, "unavailable", "the stream does not answer right now: try again in a few seconds");
      const { instance, visibility, greeting } = this.#news;
      if (visibility === null || greeting === null) throw new NovaError(404, "stream_not_found", "no such stream: check the id");
      assertMayWatch(visit, visibility);
      this.#seating.assertSeat(visit.viewer);
      const now = Date.now();
      this.#room.admit(visit, now);
      const { 0: client, 1: server } = new WebSocketPair();
      this.#room.join(server, visit, instance, () => greeting, now);
      this.#seating.seated(visit.viewer, now);
      this.#schedule(now);
      return new Response(null, { status: 101, webSocket: client });
    });
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#room.receive(socket, message, Date.now());
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    this.#room.leave(socket, Date.now());
    this.#closeAnswers.add(socket, code);
  }

  override webSocketError(socket: WebSocket): void {
    this.#room.leave(socket, Date.now());
  }

  /** Sweeps, and renews the lease that the shard's number has at the root. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    this.#room.sweep(Date.now());
    if (this.#reporter.isDue(Date.now())) await this.#reporter.report();
    this.#schedule(Date.now());
  }

  get #own(): Place {
    if (this.#place === null) throw new Error("this shard has not been told which one it is");
    return this.#place;
  }

  #settle(place: Place): void {
    if (this.#place !== null) return;
    this.#place = place;
    this.ctx.storage.kv.put("place", place);
  }

  /** Asks the root where it does not tell by itself, for want of viewers, and where a viewer has heard more than the shard. */
  async #catchUp(resume: ResumePoint | null): Promise<void> {
    const isStale = this.#news === null || Date.now() - this.#news.at > NEWS_FRESH_MS;
    if (isStale || this.#room.count === 0) await this.#reporter.report();
    // A report that was under way may have been answered before the viewer heard what it has heard.
    for (let asked = 0; asked < MAX_CATCH_UPS && (resume?.seq ?? 0) > this.#log.seq; asked++) await this.#reporter.report();
  }

  #take(news: News): void {
    const now = Date.now();
    // A late answer says nothing new of the stream.
    if (news.newest >= (this.#news?.newest ?? 0)) this.#news = { ...news, at: now };
    this.#learn(news.plan);
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#skipTo(news.newest);
    }
    const next = this.#log.seq + 1;
    if (news.gap !== null && news.gap.from <= next && news.gap.to >= next) {
      this.#room.tellGap({ from: next, to: news.gap.to });
      this.#skipTo(news.gap.to);
    }
    for (const event of news.events) {
      if (event.seq === this.#log.seq + 1) this.#room.broadcast(this.#log.mirror(event), now);
    }
    // Something went astray: the answer to the next report has it.
    if (this.#log.seq < news.newest) this.#reporter.changed();
  }

  #skipTo(seq: number): void {
    this.#log.skipTo(seq);
    this.ctx.storage.kv.put("begunAt", seq);
  }

  #learn(plan: ShardPlan): void {
    if (newerPlan(this.#plan, plan) !== plan) return;
    this.#plan = plan;
    this.ctx.storage.kv.put("plan", plan);
    this.#seating.planChanged();
    this.#reporter.changed();
  }

  #changed(now: Millis): void {
    this.#reporter.changed();
    this.#schedule(now);
  }

  #schedule(now: Millis): void {
    const times = [this.#room.nextSweepAt(now), this.#reporter.dueAt].filter((at) => at !== null);
    if (times.length === 0) return;
    const at = Math.max(now, Math.min(...times));
    if (this.#alarmAt !== null && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    this.ctx.waitUntil(this.ctx.storage.setAlarm(at));
  }
}
