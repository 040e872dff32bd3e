import { sql } from "drizzle-orm";
import type { DrizzleD1Database } from "drizzle-orm/d1";
import type { UnnumberedEvent } from "../../domain/protocol/api/audit-events.ts";
import { aggregates, outbox } from "../store/schema.ts";

/**
 * Two statements that number an event and put it into the outbox. They belong into one `batch` with the change that the event tells of, right
 * after its statement: where that changed no row, there is no event.
 */
export function outboxStatements(db: DrizzleD1Database, event: UnnumberedEvent) {
  return [
    db
      .insert(aggregates)
      .select(sql`SELECT ${event.aggregate}, 1, 0 WHERE changes() > 0`)
      .onConflictDoUpdate({ target: aggregates.id, set: { issued: sql`${aggregates.issued} + 1` } }),
    db.insert(outbox).select(
      sql`SELECT NULL, ${event.id}, json_set(${JSON.stringify(event)}, '$.seq', ${aggregates.issued}), ${Date.parse(event.occurred_at)}, 0
          FROM ${aggregates} WHERE ${aggregates.id} = ${event.aggregate} AND changes() > 0`,
    ),
  ] as const;
}
