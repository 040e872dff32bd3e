import { and, asc, desc, eq, inArray, lte, type SQL, sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { DeliveredEventType, ListDeliveries } from "../../domain/protocol/api/webhooks.ts";
import type { Millis } from "../../domain/time.ts";
import { webhookDeliveries, webhooks } from "./schema.ts";
import type { WebhookRow } from "./webhooks.ts";

/** A delivery as it is kept. */
export type DeliveryRow = typeof webhookDeliveries.$inferSelect;

/** A delivery that is this caller's to attempt, and the webhook that it is for; null where that is gone. */
export interface Claim {
  delivery: DeliveryRow;
  webhook: WebhookRow | null;
}

/** Where a page of deliveries begins: after this one. */
export interface DeliveryCursor {
  createdAt: Millis;
  id: string;
}

/** How long an attempt may take, with everything around it: after that its delivery is due again. */
const CLAIM_MS = 60_000;
/** By how much the clocks of two machines may differ: what one has made due at once shall not be too early for the other. */
const CLOCK_SKEW_MS = 2_000;

/** Events on their way to webhooks, in D1. Every method rejects where D1 does not answer. */
export class Deliveries {
  readonly #db: DrizzleD1Database;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** Makes a delivery that is due at once. */
  async create(
    delivery: { webhookId: string; accountId: string; eventId: string; eventType: DeliveredEventType; body: string },
    now: Millis,
  ): Promise<DeliveryRow> {
    const rows = await this.#db
      .insert(webhookDeliveries)
      .values({ id: crypto.randomUUID(), ...delivery, nextAttemptAt: now, createdAt: now })
      .returning();
    return rows[0] as DeliveryRow;
  }

  /** Takes a delivery that is due in hand, and counts the attempt. Of several callers at once one gets it; null for the others. */
  async claim(id: string, now: Millis): Promise<Claim | null> {
    const { status, nextAttemptAt, attempts } = webhookDeliveries;
    const ownWebhook = sql`${webhooks.id} = (SELECT ${webhookDeliveries.webhookId} FROM ${webhookDeliveries} WHERE ${webhookDeliveries.id} = ${id})`;
    const [taken, targets] = await this.#db.batch([
      this.#db
        .update(webhookDeliveries)
        .set({ attempts: sql`${attempts} + 1`, lastAttemptAt: now, nextAttemptAt: now + CLAIM_MS })
        .where(and(eq(webhookDeliveries.id, id), eq(status, "pending"), lte(nextAttemptAt, now + CLOCK_SKEW_MS)))
        .returning(),
      this.#db.select().from(webhooks).where(ownWebhook),
    ]);
    const [delivery] = taken;
    return delivery === undefined ? null : { delivery, webhook: targets[0] ?? null };
  }

  /** Writes down how the attempt of a claim went. Null where the claim has passed to somebody else meanwhile: then that one tells. */
  async settle(
    { delivery }: Claim,
    result: Pick<DeliveryRow, "status" | "nextAttemptAt" | "lastStatus" | "lastError">,
  ): Promise<DeliveryRow | null> {
    const { id, status, attempts, lastAttemptAt } = webhookDeliveries;
    const isSameClaim = and(
      eq(id, delivery.id),
      eq(status, "pending"),
      eq(attempts, delivery.attempts),
      eq(lastAttemptAt, delivery.lastAttemptAt ?? 0),
    );
    const rows = await this.#db.update(webhookDeliveries).set(result).where(isSameClaim).returning();
    return rows[0] ?? null;
  }

  /** Makes a delivery due again, with all its attempts before it. Null where the webhook has none of that id. */
  async renew(webhookId: string, deliveryId: string, now: Millis): Promise<DeliveryRow | null> {
    const rows = await this.#db
      .update(webhookDeliveries)
      .set({ status: "pending", attempts: 0, nextAttemptAt: now })
      .where(and(eq(webhookDeliveries.id, deliveryId), eq(webhookDeliveries.webhookId, webhookId)))
      .returning();
    return rows[0] ?? null;
  }

  /** One delivery of a webhook; null where it has none of that id. */
  async find(webhookId: string, deliveryId: string): Promise<DeliveryRow | null> {
    const rows = await this.#db
      .select()
      .from(webhookDeliveries)
      .where(and(eq(webhookDeliveries.id, deliveryId), eq(webhookDeliveries.webhookId, webhookId)));
    return rows[0] ?? null;
  }

  /** A webhook's deliveries, the newest first, `limit` of them after the one that `after` names. */
  async list(webhookId: string, query: Omit<ListDeliveries, "cursor">, after: DeliveryCursor | null): Promise<DeliveryRow[]> {
    const { id, status, createdAt } = webhookDeliveries;
    const conditions = [eq(webhookDeliveries.webhookId, webhookId)];
    if (query.status !== undefined) conditions.push(eq(status, query.status));
    if (after !== null) conditions.push(sql`(${createdAt}, ${id}) < (${after.createdAt}, ${after.id})`);
    return this.#db
      .select()
      .from(webhookDeliveries)
      .where(and(...conditions))
      .orderBy(desc(createdAt), desc(id))
      .limit(query.limit);
  }

  /** Which of these deliveries are due, and the webhook of each. */
  async listDueOf(ids: readonly string[], now: Millis): Promise<Map<string, string>> {
    const { id, webhookId, status, nextAttemptAt } = webhookDeliveries;
    const rows = await this.#db
      .select({ id, webhookId })
      .from(webhookDeliveries)
      .where(
        and(
          sql`${id} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`,
          eq(status, "pending"),
          lte(nextAttemptAt, now + CLOCK_SKEW_MS),
        ),
      );
    return new Map(rows.map((row) => [row.id, row.webhookId]));
  }

  /**
   * Ids of deliveries that were due at a time, `limit` at most: all of them, the longest waiting first, or where there are more, as many of each webhook
   * as there is room for.
   */
  async listDue(at: Millis, limit: number): Promise<string[]> {
    const { id, status, nextAttemptAt } = webhookDeliveries;
    const isDue = and(eq(status, "pending"), lte(nextAttemptAt, at));
    const rows = await this.#db
      .select({ id })
      .from(webhookDeliveries)
      .where(isDue)
      .orderBy(asc(nextAttemptAt))
      .limit(limit + 1);
    return (rows.length > limit ? await this.#db.all<{ id: string }>(dueOfEach(at, limit)) : rows).map((row) => row.id);
  }

  /** Gives deliveries up that were due before a time, `limit` at most, the longest waiting first. */
  async giveUp(before: Millis, limit: number): Promise<void> {
    const { id, status, nextAttemptAt, lastError } = webhookDeliveries;
    const isOverdue = and(eq(status, "pending"), lte(nextAttemptAt, before));
    const overdue = this.#db.select({ id }).from(webhookDeliveries).where(isOverdue).orderBy(asc(nextAttemptAt)).limit(limit);
    await this.#db
      .update(webhookDeliveries)
      .set({ status: "dead", nextAttemptAt: null, lastError: sql`coalesce(${lastError}, 'interrupted')` })
      .where(inArray(id, overdue));
  }
}

/** How many of one webhook are taken at a time where there are too many in all, and among how many of its oldest they are looked for. */
const SHARE = 20;
const LOOKED_AT = 100;

/**
 * Goes from webhook to webhook along an index, a step each, however many deliveries lie between. One of each comes first, then a second of each;
 * which webhooks come last is left to chance, and so is another one's turn each time.
 */
function dueOfEach(at: Millis, limit: number): SQL {
  return sql`
    WITH RECURSIVE hooks(id) AS (
      SELECT min(webhook_id) FROM webhook_deliveries
      UNION ALL
      SELECT (SELECT min(webhook_id) FROM webhook_deliveries WHERE webhook_id > hooks.id) FROM hooks WHERE hooks.id IS NOT NULL
    ), due(id, place) AS (
      SELECT found.id, row_number() OVER (PARTITION BY hooks.id ORDER BY found.next_attempt_at)
      FROM hooks CROSS JOIN webhook_deliveries AS found ON found.id IN (
        SELECT oldest.id FROM (
          SELECT id, next_attempt_at FROM webhook_deliveries
          WHERE webhook_id = hooks.id AND status = 'pending' ORDER BY created_at, id LIMIT ${LOOKED_AT}
        ) AS oldest WHERE oldest.next_attempt_at <= ${at} LIMIT ${SHARE}
      )
    )
    SELECT id FROM due ORDER BY place, random() LIMIT ${limit}`;
}
