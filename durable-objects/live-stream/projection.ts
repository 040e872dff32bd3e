import type { StreamStatus } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";

/** How often a changed viewer count is written to D1. */
export const COUNT_INTERVAL_MS: Millis = 10_000;
/** How long after a failed write the next is tried. */
export const RETRY_MS: Millis = 5_000;

/** The live facts of a stream as D1 lists them. */
export interface Projection {
  id: string;
  version: number;
  status: StreamStatus;
  broadcast: number;
  viewerCount: number;
  peakViewers: number;
  startedAt: Millis | null;
  endedAt: Millis | null;
  endReason: string | null;
}

/** Writes the projection; an older version than the one D1 has is ignored there. Rejects where D1 does not answer. */
export async function saveProjection(db: D1Database, projection: Projection, now: Millis): Promise<void> {
  await db
    .prepare(
      `UPDATE streams SET version = ?2, status = ?3, broadcast = ?4, viewer_count = ?5, peak_viewers = ?6,
         started_at = ?7, ended_at = ?8, end_reason = ?9, updated_at = ?10
       WHERE id = ?1 AND version < ?2`,
    )
    .bind(
      projection.id,
      projection.version,
      projection.status,
      projection.broadcast,
      projection.viewerCount,
      projection.peakViewers,
      projection.startedAt,
      projection.endedAt,
      projection.endReason,
      now,
    )
    .run();
}
