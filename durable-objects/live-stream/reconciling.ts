import type { Broadcast } from "../../domain/broadcast/broadcast.ts";
import type { Millis } from "../../domain/time.ts";
import type { ProjectedFacts, Projector } from "./projector.ts";
import type { Publishing } from "./publishing.ts";
import type { LiveStreamStorage, StreamConfig } from "./storage.ts";
import { purgeTime } from "./sweeper.ts";

/** A deletion begins with the object: so long the control plane has to note it down itself. */
const DELETION_MS: Millis = 30_000;

/** What the control plane's database says of a stream. */
export interface StreamRecord {
  config: StreamConfig;
  isDeleted: boolean;
  /** Ids of those of its keys that are revoked. */
  revokedKeys: readonly string[];
  /** The projection, with its version. */
  version: number;
  facts: ProjectedFacts;
  /** When it was read, Unix ms. */
  readAt: Millis;
}

/** What was repaired: in the object the first three, in the database the last. */
export type Repair = "configured" | "deleted" | "key_cut_off" | "projected";

/** What an object answers to a record. */
export interface Reconciled {
  repaired: Repair[];
  /** The revision of the settings that the object has. */
  revision: number;
  /** Deleted, and long enough ago that the database should know. */
  isDeleted: boolean;
}

/** What reconciling needs of the object around it. */
export interface ReconcilingOwner {
  broadcast: Broadcast;
  publishing: Publishing;
  projector: Projector;
  storage: LiveStreamStorage;
  config(): StreamConfig | null;
  configure(config: StreamConfig): void;
}

/**
 * Holds a record against what the object knows, and repairs the one that is behind: settings, deletion and revoked keys are the database's to say,
 * the projection is the object's.
 */
export async function reconcile(owner: ReconcilingOwner, record: StreamRecord, now: Millis): Promise<Reconciled> {
  const { broadcast, publishing, projector, storage } = owner;
  const repaired: Repair[] = [];
  const known = owner.config();
  if (known === null || (known.revision ?? 0) < record.config.revision) {
    owner.configure(record.config);
    repaired.push("configured");
  }
  const isFalse = projector.isFalse(record);
  if (record.isDeleted && !broadcast.deleted) {
    publishing.delete();
    repaired.push("deleted");
  }
  const { connection, standbyKeys } = broadcast;
  const used = new Set(connection === null ? standbyKeys : [connection.keyId, ...standbyKeys]);
  const cutOff = [...used].filter((keyId) => record.revokedKeys.includes(keyId));
  for (const keyId of cutOff) publishing.revokeKey(keyId);
  if (cutOff.length > 0) repaired.push("key_cut_off");
  if (isFalse) {
    projector.overrule(record.version, now);
    await projector.write(now);
    // Where that failed it is due again.
    if (projector.dueAt === null) repaired.push("projected");
  }
  const purgeAt = storage.load("purgeAt");
  const isDeleted = broadcast.deleted && (purgeAt === null || purgeAt <= purgeTime(now) - DELETION_MS);
  return { repaired, revision: owner.config()?.revision ?? 0, isDeleted };
}
