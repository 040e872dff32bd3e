import { SHARD_RENEWAL_MS } from "../../domain/audience/shard-ledger.ts";
import type { ShardPlan } from "../../domain/audience/shard-plan.ts";
import { PLAYER_KEYS } from "../../domain/protocol/audience.ts";
import type { Millis } from "../../domain/time.ts";
import type { ShardWord } from "../audience/members.ts";
import type { Room } from "../audience/room.ts";

const RETRY_MS: Millis = 1_000;
/** The root knows a fair sample of the players that have a socket here. */
const MAX_PLAYERS = 256;
const PLAYERS_INTERVAL_MS: Millis = 10_000;

/** What a reporter needs of the shard around it. */
export interface ReporterOwner {
  ctx: DurableObjectState;
  room: Room;
  /** The number of the newest event that the shard has; null before it has been told any. */
  heard(): number | null;
  plan(): ShardPlan;
  /** The least time between two reports. */
  interval(): Millis;
  send(word: Omit<ShardWord, "shard">): Promise<void>;
}

/** Tells the root how many viewers a shard has: soon after each change, and in time to renew its lease. One report at a time. */
export class Reporter {
  readonly #owner: ReporterOwner;
  #boot: number | null = null;
  #seq = 0;
  #sending: Promise<void> | null = null;
  #sentAt: Millis = 0;
  #playersAt: Millis = 0;
  #isChanged = false;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(owner: ReporterOwner) {
    this.#owner = owner;
  }

  /** When the lease is to be renewed; null where nobody is here. */
  get dueAt(): Millis | null {
    return this.#owner.room.count === 0 ? null : this.#sentAt + SHARD_RENEWAL_MS;
  }

  isDue(now: Millis): boolean {
    return this.dueAt !== null && this.dueAt <= now;
  }

  /** Something is to be told. */
  changed(): void {
    this.#isChanged = true;
    if (this.#timer !== null || this.#sending !== null) return;
    const wait = Math.max(0, this.#sentAt + this.#owner.interval() - Date.now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#owner.ctx.waitUntil(this.report());
    }, wait);
  }

  /** Reports now, or waits for the report that is under way. Never rejects: one that fails is tried again. */
  report(): Promise<void> {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
      if (this.#isChanged) this.changed();
    });
    return this.#sending;
  }

  async #send(): Promise<void> {
    const { room, plan, heard, send } = this.#owner;
    const now = Date.now();
    this.#isChanged = false;
    this.#sentAt = now;
    this.#seq += 1;
    const counts = { connected: room.connected, sockets: room.count, playback: room.playback() };
    const tellsPlayers = now - this.#playersAt >= PLAYERS_INTERVAL_MS;
    const players = tellsPlayers ? samplePlayers(room.players()) : null;
    try {
      await send({ boot: this.#bootNumber(), seq: this.#seq, ...counts, knows: plan().version, heard: heard(), players });
      if (tellsPlayers) this.#playersAt = now;
    } catch (error) {
      console.warn(JSON.stringify({ event: "shard_report_failed", error: String(error) }));
      this.#sentAt = Date.now() + RETRY_MS - this.#owner.interval();
      this.#isChanged = true;
    }
  }

  /** Rises with each life of the shard. */
  #bootNumber(): number {
    if (this.#boot !== null) return this.#boot;
    const { kv } = this.#owner.ctx.storage;
    const boot = (kv.get<number>("boot") ?? 0) + 1;
    kv.put("boot", boot);
    this.#boot = boot;
    return boot;
  }
}

/** The keys below a threshold that leaves at most 256 of them. */
function samplePlayers(players: Set<number>): { keys: number[]; threshold: number } {
  let threshold = PLAYER_KEYS;
  let keys = [...players];
  while (keys.length > MAX_PLAYERS) {
    threshold /= 2;
    const below = threshold;
    keys = keys.filter((key) => key < below);
  }
  return { keys, threshold };
}
