import { and, desc, eq, sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { UnnumberedEvent } from "../../domain/protocol/api/audit-events.ts";
import { type CreateWebhook, MAX_WEBHOOKS, type UpdateWebhook } from "../../domain/protocol/api/webhooks.ts";
import type { Millis } from "../../domain/time.ts";
import { type Author, accountEvent } from "../audit/new-event.ts";
import { outboxStatements } from "../audit/outbox.ts";
import { webhooks } from "./schema.ts";

/** A webhook as it is kept: its secrets sealed. */
export type WebhookRow = typeof webhooks.$inferSelect;

/** Webhooks in D1. Each change and the event that tells of it are written together or not at all. Every method rejects where D1 does not answer. */
export class Webhooks {
  readonly #db: DrizzleD1Database;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** Adds a webhook; null where the account has as many as it may. */
  async create(webhook: CreateWebhook & { id: string; secret: string }, by: Author, now: Millis): Promise<WebhookRow | null> {
    const { id, url, description, event_types, secret, enabled } = webhook;
    const { accountId } = by;
    const data = { webhook_id: id, host: hostOf(url), description, event_types, enabled };
    const [rows] = await this.#db.batch([
      this.#db
        .insert(webhooks)
        .select(
          sql`SELECT ${id}, ${accountId}, ${url}, ${description}, ${JSON.stringify(event_types)}, ${secret}, ${enabled ? 1 : 0}, 1, ${now}, ${now}
              WHERE (SELECT count(*) FROM ${webhooks} WHERE ${webhooks.accountId} = ${accountId}) < ${MAX_WEBHOOKS}`,
        )
        .returning(),
      ...outboxStatements(this.#db, accountEvent(by, "webhook.created", data, now)),
    ]);
    return rows[0] ?? null;
  }

  /** Changes what is named, if the webhook still has the revision; null where it has not, or is not there. */
  update(row: WebhookRow, changes: UpdateWebhook, by: Author, now: Millis): Promise<WebhookRow | null> {
    const { url, ...others } = changes;
    const { description, event_types: eventTypes, enabled } = others;
    const told = url === undefined ? others : { ...others, host: hostOf(url) };
    return this.#change(row, { url, description, eventTypes, enabled }, by, { now, told });
  }

  /** Puts other sealed secrets in the place of the webhook's, if it still has the revision; null where it has not, or is not there. */
  replaceSecret(row: WebhookRow, secret: string, by: Author, now: Millis): Promise<WebhookRow | null> {
    return this.#change(row, { secret }, by, { now, told: { secret: "rotated" } });
  }

  async #change(
    { id, url, revision }: WebhookRow,
    set: Partial<WebhookRow>,
    by: Author,
    { now, told }: { now: Millis; told: UnnumberedEvent["data"] },
  ): Promise<WebhookRow | null> {
    const [rows] = await this.#db.batch([
      this.#db
        .update(webhooks)
        .set({ ...set, revision: revision + 1, updatedAt: now })
        .where(and(this.#isOwn(by.accountId, id), eq(webhooks.revision, revision)))
        .returning(),
      ...outboxStatements(
        this.#db,
        accountEvent(by, "webhook.updated", { webhook_id: id, host: hostOf(set.url ?? url), changes: told }, now),
      ),
    ]);
    return rows[0] ?? null;
  }

  /** Deletes a webhook, if it still has the revision. Its deliveries stay; each ends when its next attempt is due. Returns whether it did. */
  async delete({ id, url, revision }: WebhookRow, by: Author, now: Millis): Promise<boolean> {
    const [rows] = await this.#db.batch([
      this.#db
        .delete(webhooks)
        .where(and(this.#isOwn(by.accountId, id), eq(webhooks.revision, revision)))
        .returning({ id: webhooks.id }),
      ...outboxStatements(this.#db, accountEvent(by, "webhook.deleted", { webhook_id: id, host: hostOf(url) }, now)),
    ]);
    return rows.length > 0;
  }

  /** A webhook of this account; null where there is none. */
  async find(accountId: string, id: string): Promise<WebhookRow | null> {
    const rows = await this.#db.select().from(webhooks).where(this.#isOwn(accountId, id));
    return rows[0] ?? null;
  }

  /** All webhooks of an account, the newest first. */
  list(accountId: string): Promise<WebhookRow[]> {
    return this.#db.select().from(webhooks).where(eq(webhooks.accountId, accountId)).orderBy(desc(webhooks.createdAt), desc(webhooks.id));
  }

  #isOwn(accountId: string, id: string) {
    return and(eq(webhooks.id, id), eq(webhooks.accountId, accountId));
  }
}

/** What events say of a webhook's address: path and query may hold a token of the receiver's. */
function hostOf(url: string): string {
  return new URL(url).host;
}
