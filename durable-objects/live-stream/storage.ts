import type { ShardLedger } from "../../domain/audience/shard-ledger.ts";
import type { ShardPlanner } from "../../domain/audience/shard-planner.ts";
import type { BroadcastSnapshot } from "../../domain/broadcast/broadcast.ts";
import type { ProfileName } from "../../domain/profiles.ts";
import type { Visibility } from "../../domain/protocol/api/streams.ts";
import { createMediaTables, loadBroadcastNumbers, MediaStorage } from "./media-storage.ts";

/** What the object knows of its stream from the control plane; its home is D1. */
export interface StreamConfig {
  id: string;
  accountId: string;
  /** Rises with each change: an older one is not taken over. */
  revision: number;
  title: string;
  visibility: Visibility;
  /** What is made of an encoder's input, from its next publish on. */
  profile: ProfileName;
  reconnectWindowSeconds: number;
  latencyMode: "low" | "standard";
  /** Seconds. */
  partTarget: number;
  dvrWindowSeconds: number;
  record: boolean;
}

/** The facts that are single values, each a row. */
interface Facts {
  config: StreamConfig;
  broadcast: BroadcastSnapshot;
  events: { instance: string; seq: number };
  peak: number;
  /** Which objects the audience is spread over, and how many viewers each of them had when the count was last told. */
  shardPlan: ReturnType<ShardPlanner["snapshot"]>;
  shardLedger: ReturnType<ShardLedger["snapshot"]>;
  /** When each rung of shards was last known to be part of the plan, Unix ms. */
  shardRungs: Record<number, number>;
  /** Rising number of the projection to D1, and when the next one is due (Unix ms; null where D1 is up to date). */
  projection: { version: number; dueAt: number | null };
  /** The broadcast whose recording plays at the stream's own address, as far as R2 has been told; null for none. */
  shownRecording: number | null;
  /** When everything of a deleted stream goes, Unix ms. */
  purgeAt: number | null;
}

/** The object's SQLite: everything that must outlive an eviction. */
export class LiveStreamStorage {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
    createMediaTables(sql);
  }

  load<Name extends keyof Facts>(name: Name): Facts[Name] | null {
    const row = this.#sql.exec<{ value: string }>("SELECT value FROM facts WHERE name = ?", name).toArray()[0];
    return row === undefined ? null : (JSON.parse(row.value) as Facts[Name]);
  }

  save<Name extends keyof Facts>(name: Name, value: Facts[Name]): void {
    this.#sql.exec("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", name, JSON.stringify(value));
  }

  /** The broadcasts whose media is kept, in order. */
  broadcasts(): number[] {
    return loadBroadcastNumbers(this.#sql);
  }

  /** A broadcast's media. */
  media(broadcast: number): MediaStorage {
    return new MediaStorage(this.#sql, broadcast);
  }
}
