import type { Millis } from "../../domain/time.ts";

const HOUR_MS: Millis = 3_600_000;
const DAY_MS: Millis = 24 * HOUR_MS;
/** How long events stay in D1 once the archive has them. */
export const EVENTS_MS: Millis = 90 * DAY_MS;
const DELIVERIES_MS: Millis = 30 * DAY_MS;
const IDEMPOTENCY_MS: Millis = DAY_MS;
/** Rows of each kind that one run deletes. */
const ROWS = 500;

/** Deletes a few rows of each kind that nobody needs any more. Rejects where D1 does not answer. */
export async function purge(db: D1Database, now: Millis): Promise<void> {
  await db.batch([
    db
      .prepare(
        `DELETE FROM events WHERE position IN (
           SELECT position FROM events WHERE recorded_at < ?1 AND position <= (SELECT max(last_position) FROM archive_objects) LIMIT ?2)`,
      )
      .bind(now - EVENTS_MS, ROWS),
    db
      .prepare(
        "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE created_at < ?1 AND status <> 'pending' LIMIT ?2)",
      )
      .bind(now - DELIVERIES_MS, ROWS),
    db
      .prepare("DELETE FROM idempotency_keys WHERE rowid IN (SELECT rowid FROM idempotency_keys WHERE created_at < ?1 LIMIT ?2)")
      .bind(now - IDEMPOTENCY_MS, ROWS),
  ]);
}
