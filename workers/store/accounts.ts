import { eq, sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { Millis } from "../../domain/time.ts";
import { type Author, accountEvent } from "../audit/new-event.ts";
import { outboxStatements } from "../audit/outbox.ts";
import { accounts } from "./schema.ts";

/** The account of the deployment's own administrator, made by the first migration. */
export const ADMIN_ACCOUNT = "admin";

export type AccountRow = typeof accounts.$inferSelect;

/** Broadcasters, in D1. Every method rejects where D1 does not answer. */
export class Accounts {
  readonly #db: DrizzleD1Database;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** Inserts an account, if there is none with this id. The event that tells of it is the account's own first. */
  async create(account: { id: string; name: string }, by: Omit<Author, "accountId">, now: Millis): Promise<AccountRow> {
    const { id, name } = account;
    const row = { id, name, createdAt: now };
    await this.#db.batch([
      this.#db.insert(accounts).values(row).onConflictDoNothing(),
      ...outboxStatements(this.#db, accountEvent({ ...by, accountId: id }, "account.created", { name }, now)),
    ]);
    return row;
  }

  /** An account; null where there is none. */
  async find(id: string): Promise<AccountRow | null> {
    const rows = await this.#db.select().from(accounts).where(eq(accounts.id, id));
    return rows[0] ?? null;
  }

  /** Accounts, the newest first: those that were made before the one at `before`. */
  list(before: number, limit: number): Promise<(AccountRow & { position: number })[]> {
    const { id, name, createdAt } = accounts;
    return this.#db
      .select({ id, name, createdAt, position: sql<number>`rowid` })
      .from(accounts)
      .where(sql`rowid < ${before}`)
      .orderBy(sql`rowid DESC`)
      .limit(limit);
  }
}
