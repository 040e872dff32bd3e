import { and, asc, desc, eq, lte, sql } from "drizzle-orm";
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

  /** Ids of deliveries that were due at a time, the longest waiting first. */
  async listDue(at: Millis, limit: number): Promise<string[]> {
    const { id, status, nextAttemptAt } = webhookDeliveries;
    const isDue = and(eq(status, "pending"), lte(nextAttemptAt, at));
    const rows = await this.#db.select({ id }).from(webhookDeliveries).where(isDue).orderBy(asc(nextAttemptAt)).limit(limit);
    return rows.map((row) => row.id);
  }
}
