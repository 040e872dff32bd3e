import { ShardLedger } from "../../domain/audience/shard-ledger.ts";
import { type Member, type ShardPlan, shardsOf } from "../../domain/audience/shard-plan.ts";
import { ShardPlanner } from "../../domain/audience/shard-planner.ts";
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

/** What the hub needs of the stream around it. */
export interface ShardHubOwner {
  ctx: DurableObjectState;
  env: AudienceEnv & MemberEnv;
  storage: LiveStreamStorage;
  log: EventLog;
  streamId(): string;
  /** Sockets of the stream's own object. */
  rootSockets(): number;
  /** What a shard is told, but the events. */
  news(): Omit<News, "events" | "plan" | "after">;
}

/** How far a shard has got with the events; null where it must be asked. */
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
    return this.plan.generations.length > 1;
  }

  /** Viewers of all shards, with those who lost their socket to a restart. */
  total(now: Millis): number {
    return this.#ledger.total(now);
  }

  /** Viewers of all shards whose socket is open. */
  connected(now: Millis): number {
    return this.#ledger.connected(now);
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
    const news = this.#newsAfter(heard, now);
    const newest = news.events.at(-1)?.seq ?? news.after;
    // What is under way to it comes twice then, and is heard once.
    const feed = this.#feeds.get(word.shard);
    this.#feeds.set(word.shard, { isSending: feed?.isSending ?? false, heard: Math.max(feed?.heard ?? 0, newest) });
    return news;
  }

  /** Looks at the loads: the plan may have to be another. */
  decide(now: Millis): void {
    if (!this.#planner.decide(this.#owner.rootSockets(), this.#ledger.loads(now), now)) return;
    // Kept before anybody is told.
    this.#owner.storage.save("shardPlan", this.#planner.snapshot());
    for (const member of shardsOf(this.plan)) this.#feeds.set(member, this.#feeds.get(member) ?? { heard: null, isSending: false });
    this.#feedAll(true);
  }

  /** Something was told: the shards are to tell it too. */
  told(): void {
    this.#feedAll(false);
  }

  /** Keeps the numbers, for a life after an eviction. */
  keep(): void {
    if (this.isSpread) this.#owner.storage.save("shardLedger", this.#ledger.snapshot());
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

  /** When `tick` is due; null where nobody is at a shard. */
  nextTickAt(now: Millis): Millis | null {
    if (!this.isSpread) return null;
    const times = [this.#censusDueAt(), this.#ledger.nextExpiryAt(now), this.#planner.nextDecisionAt()];
    return Math.min(...times.filter((at) => at !== null));
  }

  /** Sessions of all shards, up to and with the id `to`. */
  sessions(to: number, limit: number): Promise<{ member: Member; rows: SessionRow[] }[]> {
    const stream = this.#owner.streamId();
    return Promise.all(
      shardsOf(this.plan).map(async (member) => {
        const place = { stream, member };
        return { member, rows: await shardOf(this.#owner.env, place).sessions(place, to, limit) };
      }),
    );
  }

  #censusDueAt(): Millis {
    return this.#censusAt + CENSUS_INTERVAL_MS;
  }

  /** `heard`: 0 for a shard that has never heard anything, and so has nobody to tell of what was; null for none of the events. */
  #newsAfter(heard: number | null, now: Millis): News {
    const { log } = this.#owner;
    const { gap, events } = log.after(heard === 0 || heard === null ? log.seq : heard, now);
    const after = gap?.to ?? heard ?? 0;
    return {
      ...this.#owner.news(),
      plan: this.plan,
      after: heard === 0 ? log.seq : after,
      events: events.map(({ seq, at, text }) => ({ seq, at, text })),
    };
  }

  #feedAll(isNewPlan: boolean): void {
    for (const [member, { heard, isSending }] of this.#feeds) {
      if (!isSending && (isNewPlan || (heard ?? 0) < this.#owner.log.seq)) this.#owner.ctx.waitUntil(this.#feed(member));
    }
  }

  async #feed(member: Member): Promise<void> {
    const place = { stream: this.#owner.streamId(), member };
    let heard = this.#feeds.get(member)?.heard ?? null;
    try {
      do {
        const now = Date.now();
        // Nobody is there any more: whoever comes makes the shard ask.
        if (!this.#isListening(member, now)) {
          this.#feeds.delete(member);
          return;
        }
        this.#feeds.set(member, { heard, isSending: true });
        const news = this.#newsAfter(heard, now);
        const has = await shardOf(this.#owner.env, place).hear(place, news);
        heard = Math.max(has, heard === null ? 0 : (news.events.at(-1)?.seq ?? news.after));
        this.#feeds.set(member, { heard, isSending: false });
      } while (heard < this.#owner.log.seq);
    } catch (error) {
      this.#feeds.set(member, { heard, isSending: false });
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
