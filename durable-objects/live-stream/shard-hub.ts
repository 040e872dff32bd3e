import { ShardLedger } from "../../domain/audience/shard-ledger.ts";
import { type Member, membersOfRung, type ShardPlan, shardsOf } from "../../domain/audience/shard-plan.ts";
import { ShardPlanner } from "../../domain/audience/shard-planner.ts";
import type { PlaybackTally } from "../../domain/metrics/quality-tally.ts";
import { PLAYER_KEYS } from "../../domain/protocol/audience.ts";
import type { Millis } from "../../domain/time.ts";
import { type AudienceEnv, shardThresholdOf } from "../audience/admission.ts";
import type { EventLog } from "../audience/event-log.ts";
import { type MemberEnv, type News, type ShardWord, shardOf } from "../audience/members.ts";
import type { SessionRow } from "../audience/sessions.ts";
import type { LiveStreamStorage } from "./storage.ts";

/** How often a shard that has fallen silent is asked how many it has. */
const CENSUS_INTERVAL_MS: Millis = 30_000;
const RETRY_MS: Millis = 1_000;
/** A little longer than sessions are kept. */
const SESSIONS_KEPT_MS: Millis = 31 * 86_400_000;

/** What the hub needs of the stream around it. */
export interface ShardHubOwner {
  ctx: DurableObjectState;
  env: AudienceEnv & MemberEnv;
  storage: LiveStreamStorage;
  log: EventLog;
  streamId(): string;
  /** Viewers at the stream's own object, with those who are waited for there. */
  rootViewers(): number;
  /** What a shard is told, but the events. */
  news(): Pick<News, "instance" | "visibility" | "greeting">;
}

/** How far a shard has got with the events, by its own word; null where it must be asked. */
interface Feed {
  heard: number | null;
  isSending: boolean;
}

/** The stream's shards, as its own object sees them: the plan, their numbers, and the events on their way to them. */
export class ShardHub {
  readonly #owner: ShardHubOwner;
  readonly #planner: ShardPlanner;
  readonly #ledger: ShardLedger;
  readonly #feeds = new Map<Member, Feed>();
  readonly #players = new Map<Member, { keys: number[]; threshold: number }>();
  #censusAt: Millis = 0;

  constructor(owner: ShardHubOwner) {
    this.#owner = owner;
    const { storage, env } = owner;
    const seed = crypto.getRandomValues(new Int32Array(1))[0] as number;
    this.#planner = new ShardPlanner(shardThresholdOf(env), storage.load("shardPlan") ?? seed);
    this.#ledger = new ShardLedger(storage.load("shardLedger") ?? []);
    for (const [member, { sockets }] of this.#ledger.loads(0)) if (sockets > 0) this.#feeds.set(member, { heard: null, isSending: false });
  }

  get plan(): ShardPlan {
    return this.#planner.plan;
  }

  /** Whether anybody is, or may be, at a shard. */
  get isSpread(): boolean {
    return this.plan.generations.some(({ rung }) => rung > 0);
  }

  /** Viewers of all shards, with those who lost their socket to a restart. */
  total(now: Millis): number {
    return this.#ledger.total(now);
  }

  /** Viewers of all shards whose socket is open. */
  connected(now: Millis): number {
    return this.#ledger.connected(now);
  }

  /** What the players at all shards say, as of their last reports. */
  playback(now: Millis): PlaybackTally {
    return this.#ledger.playback(now);
  }

  /** Players that go with the shards' sockets, those below `threshold` at least. */
  players(): { keys: number[]; threshold: number } {
    const samples = [...this.#players.values()];
    return { keys: samples.flatMap(({ keys }) => keys), threshold: Math.min(PLAYER_KEYS, ...samples.map(({ threshold }) => threshold)) };
  }

  /** A shard's word, and what it is told in turn. */
  hear(word: ShardWord, now: Millis): News {
    const { players, heard, ...report } = word;
    const isNews = this.#ledger.accept(report, now);
    if (isNews && players !== null) this.#players.set(word.shard, players);
    if (isNews && word.sockets === 0) this.#players.delete(word.shard);
    this.decide(now);
    // What is told now may not arrive: only its own next word says that it has.
    this.#feeds.set(word.shard, { heard: heard ?? this.#owner.log.seq, isSending: this.#feeds.get(word.shard)?.isSending ?? false });
    return this.#newsAfter(heard, now);
  }

  /** Looks at the loads: the plan may have to be another. */
  decide(now: Millis): void {
    const before = this.plan;
    if (!this.#planner.decide(this.#owner.rootViewers(), this.#ledger.loads(now), now)) return;
    // Kept before anybody is told.
    this.#owner.storage.save("shardPlan", this.#planner.snapshot());
    this.#owner.storage.save("shardLedger", this.#ledger.snapshot());
    this.#noteRungs([...before.generations, ...this.plan.generations], now);
    for (const member of shardsOf(this.plan)) this.#feeds.set(member, this.#feeds.get(member) ?? { heard: null, isSending: false });
    this.#feedAll(true);
  }

  /** Something was told: the shards are to tell it too. */
  told(): void {
    this.#feedAll(false);
  }

  /** Keeps the numbers, for a life after an eviction. */
  keep(): void {
    const entries = this.#ledger.snapshot();
    if (entries.length > 0) this.#owner.storage.save("shardLedger", entries);
  }

  /** Does what time has brought: asks those how many they have who have not said so lately. */
  tick(now: Millis): void {
    this.decide(now);
    if (this.#censusDueAt() > now) return;
    this.#censusAt = now;
    for (const member of this.#ledger.silent(shardsOf(this.plan), now)) {
      const place = { stream: this.#owner.streamId(), member };
      const asked = shardOf(this.#owner.env, place).census(place);
      this.#owner.ctx.waitUntil(asked.catch((error: unknown) => this.#warn(member, error)));
    }
  }

  /** When `tick` is due; null where no number can change by itself. */
  nextTickAt(now: Millis): Millis | null {
    const census = this.isSpread ? this.#censusDueAt() : null;
    const times = [census, this.#ledger.nextExpiryAt(now), this.#planner.nextDecisionAt()].filter((at) => at !== null);
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Sessions of all shards that have any, up to and with the id `to`. */
  sessions(to: number, limit: number, now: Millis): Promise<{ member: Member; rows: SessionRow[] }[]> {
    const stream = this.#owner.streamId();
    const kept = Object.entries(this.#owner.storage.load("shardRungs") ?? {}).filter(([, openUntil]) => openUntil > now - SESSIONS_KEPT_MS);
    const open = this.plan.generations.map(({ rung }) => rung);
    const rungs = new Set([...kept.map(([rung]) => Number(rung)), ...open].filter((rung) => rung > 0));
    return Promise.all(
      [...rungs].flatMap(membersOfRung).map(async (member) => {
        const place = { stream, member };
        return { member, rows: await shardOf(this.#owner.env, place).sessions(place, to, limit) };
      }),
    );
  }

  /** Remembers until when generations were open: the stays of their viewers lie there. */
  #noteRungs(generations: ShardPlan["generations"], now: Millis): void {
    const rungs = this.#owner.storage.load("shardRungs") ?? {};
    for (const { rung } of generations) rungs[rung] = now;
    this.#owner.storage.save("shardRungs", rungs);
  }

  #censusDueAt(): Millis {
    return this.#censusAt + CENSUS_INTERVAL_MS;
  }

  /** `heard`: null for a shard that has nobody to tell of what was, or of which it is not known. */
  #newsAfter(heard: number | null, now: Millis): News {
    const { log } = this.#owner;
    const { gap, events } = heard === null ? { gap: null, events: [] } : log.after(heard, now);
    const sent = events.map(({ seq, at, text }) => ({ seq, at, text }));
    return { ...this.#owner.news(), plan: this.plan, gap, events: sent, newest: log.seq };
  }

  #feedAll(isNewPlan: boolean): void {
    for (const [member, { heard, isSending }] of this.#feeds) {
      if (!isSending && (isNewPlan || (heard ?? -1) < this.#owner.log.seq)) this.#owner.ctx.waitUntil(this.#feed(member));
    }
  }

  async #feed(member: Member): Promise<void> {
    const place = { stream: this.#owner.streamId(), member };
    let isNews = true;
    try {
      while (isNews) {
        const heard = this.#feeds.get(member)?.heard ?? null;
        const now = Date.now();
        // Nobody is there any more: whoever comes makes the shard ask.
        if (!this.#isListening(member, now)) {
          this.#feeds.delete(member);
          return;
        }
        this.#feeds.set(member, { heard, isSending: true });
        const has = await shardOf(this.#owner.env, place).hear(place, this.#newsAfter(heard, now));
        this.#feeds.set(member, { heard: has, isSending: false });
        // One that has missed something asks for it.
        isNews = has < this.#owner.log.seq && has > (heard ?? has);
      }
    } catch (error) {
      this.#feeds.set(member, { heard: this.#feeds.get(member)?.heard ?? null, isSending: false });
      this.#warn(member, error);
      setTimeout(() => this.#feedAll(false), RETRY_MS);
    }
  }

  /** A shard that may hold viewers, by its last word; one that has to learn that its generation is closed, too. */
  #isListening(member: Member, now: Millis): boolean {
    const load = this.#ledger.loads(now).get(member);
    return load === undefined || (!load.expired && load.sockets > 0) || load.knows < this.plan.version;
  }

  #warn(shard: Member, error: unknown): void {
    console.warn(JSON.stringify({ event: "shard_unreachable", stream: this.#owner.streamId(), shard, error: String(error) }));
  }
}
