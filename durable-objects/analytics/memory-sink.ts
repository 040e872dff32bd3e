import { type AnalyticsPoint, type AnalyticsRow, encodePoint } from "../../domain/audience/analytics-point.ts";

const MAX_ROWS = 10_000;

/** Oldest first; of all streams in this isolate. */
let rows: AnalyticsRow[] = [];

/** Keeps the last 10,000 rows in this isolate's memory, where no Analytics Engine is. */
export const memorySink = {
  write(point: AnalyticsPoint): void {
    rows.push(encodePoint(point));
    // Halved at once, so that a full memory does not move all rows with each one.
    if (rows.length >= 2 * MAX_ROWS) rows = rows.slice(-MAX_ROWS);
  },
};

/** A stream's rows among the last 10,000, oldest first. */
export function keptRows(stream: string): AnalyticsRow[] {
  return rows.slice(-MAX_ROWS).filter(({ indexes }) => indexes[0] === stream);
}
