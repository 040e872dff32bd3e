import { and, eq, inArray, isNotNull, lt, lte, type SQL, sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { StreamId } from "../../domain/stream-id.ts";
import type { Millis } from "../../domain/time.ts";
import type { Repair, StreamRecord } from "../../durable-objects/live-stream/reconciling.ts";
import { configOf } from "../api/streams.ts";
import { type StreamRow, streamKeys, streams } from "../store/schema.ts";
import { Streams } from "../store/streams.ts";
import { liveStream } from "../surface.ts";
import { logFailure } from "./failure.ts";

/** Rows that one run looks at: live ones, and of all the others. */
const LIVE = 50;
const OTHERS = 20;
/** How soon a row is looked at again. */
const LIVE_MS: Millis = 50_000;
const OTHERS_MS: Millis = 3_600_000;
const AT_ONCE = 10;
const PATIENCE_MS: Millis = 5_000;
/** Of a row that need not be looked at again: its stream is deleted, and its object knows. */
export const NEVER_AGAIN: Millis = 8_640_000_000_000_000;

/** What was not as it should be; `marked_deleted` and `revision_raised` were repaired in the row, the others by the object. */
export type RowRepair = Repair | "marked_deleted" | "revision_raised";

/** What a run has done. */
export interface Reconciliation {
  checked: number;
  /** Objects that did not answer. */
  failed: number;
  repaired: Partial<Record<RowRepair, number>>;
}

/** Asks the objects of some streams what they know, and repairs the rows, or the objects, that are behind. Rejects where D1 does not answer. */
export async function reconcileStreams(env: Env, now: Millis): Promise<Reconciliation> {
  const db = drizzle(env.DB);
  const rows = await loadRows(db, now);
  const revoked = await loadRevokedKeys(db, rows);
  const done: Reconciliation = { checked: rows.length, failed: 0, repaired: {} };
  const settled: string[] = [];
  for (let start = 0; start < rows.length; start += AT_ONCE) {
    const some = rows.slice(start, start + AT_ONCE).map(async (row) => {
      try {
        const { repairs, isSettled } = await within(PATIENCE_MS, reconcileRow(env, row, recordOf(row, revoked.get(row.id), now)));
        for (const repair of repairs) done.repaired[repair] = (done.repaired[repair] ?? 0) + 1;
        if (repairs.length > 0) console.warn(JSON.stringify({ event: "stream_repaired", stream: row.id, repairs }));
        if (isSettled) settled.push(row.id);
      } catch (error) {
        done.failed += 1;
        logFailure("stream_not_reconciled", error, { stream: row.id });
      }
    });
    await Promise.all(some);
  }
  // Also those that failed: one object that is away must not hold up the others.
  if (rows.length > 0)
    await db
      .update(streams)
      .set({ reconciledAt: now })
      .where(isOneOf(rows.map(({ id }) => id)));
  if (settled.length > 0) await db.update(streams).set({ reconciledAt: NEVER_AGAIN }).where(isOneOf(settled));
  return done;
}

async function loadRows(db: DrizzleD1Database, now: Millis): Promise<StreamRow[]> {
  const { status, reconciledAt } = streams;
  const oldest = (condition: SQL | undefined, limit: number) =>
    db.select().from(streams).where(condition).orderBy(reconciledAt).limit(limit);
  const live = (wanted: "active" | "reconnecting") => oldest(and(eq(status, wanted), lte(reconciledAt, now - LIVE_MS)), LIVE);
  const [active, reconnecting, others] = await db.batch([
    live("active"),
    live("reconnecting"),
    oldest(lte(reconciledAt, now - OTHERS_MS), OTHERS),
  ]);
  const first = [...active, ...reconnecting].sort((a, b) => a.reconciledAt - b.reconciledAt).slice(0, LIVE);
  return [...new Map([...first, ...others].map((row) => [row.id, row])).values()];
}

async function loadRevokedKeys(db: DrizzleD1Database, rows: readonly StreamRow[]): Promise<Map<string, string[]>> {
  const live = rows.filter(({ status }) => status === "active" || status === "reconnecting").map(({ id }) => id);
  if (live.length === 0) return new Map();
  const { id, streamId, revokedAt } = streamKeys;
  const keys = await db
    .select({ id, streamId })
    .from(streamKeys)
    .where(and(inArray(streamId, live), isNotNull(revokedAt)));
  const byStream = Map.groupBy(keys, (key) => key.streamId);
  return new Map([...byStream].map(([stream, own]) => [stream, own.map((key) => key.id)]));
}

async function reconcileRow(env: Env, row: StreamRow, record: StreamRecord): Promise<{ repairs: RowRepair[]; isSettled: boolean }> {
  // Whatever is in the table was minted by the API.
  const object = liveStream(env, row.id as StreamId);
  const { repaired, revision, isDeleted } = await object.reconcile(record);
  const repairs: RowRepair[] = [...repaired];
  if (revision > row.revision && (await raiseRevision(env, row.id, revision))) repairs.push("revision_raised");
  if (isDeleted && row.deletedAt === null) {
    const by = { accountId: row.accountId, actor: "system", requestId: null };
    if (await new Streams(env.DB).delete(row.id, by, Date.now())) repairs.push("marked_deleted");
  }
  return { repairs, isSettled: isDeleted && row.deletedAt !== null && repairs.length === 0 };
}

function recordOf(row: StreamRow, revokedKeys: string[] = [], readAt: Millis): StreamRecord {
  const { version, status, broadcast, viewerCount, peakViewers, startedAt, endedAt, endReason } = row;
  const facts = { status, broadcast, viewerCount, peakViewers, startedAt, endedAt, endReason };
  return { config: configOf(row), isDeleted: row.deletedAt !== null, revokedKeys, version, facts, readAt };
}

/**
 * The object has heard of a later revision than the row had: either the row has it by now too, or it was restored from a backup, and the object would
 * not listen to its changes. Then the row goes ahead of the object, with the settings that it has.
 */
async function raiseRevision(env: Env, id: string, revision: number): Promise<boolean> {
  const raise = drizzle(env.DB)
    .update(streams)
    .set({ revision: revision + 1 })
    .where(and(eq(streams.id, id), lt(streams.revision, revision)))
    .returning();
  const [row] = await raise;
  if (row === undefined) return false;
  await liveStream(env, id as StreamId).configure(configOf(row));
  return true;
}

function isOneOf(ids: readonly string[]): SQL {
  return sql`${streams.id} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`;
}

async function within<Answer>(patience: Millis, answer: Promise<Answer>): Promise<Answer> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${patience} ms`)), patience);
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
