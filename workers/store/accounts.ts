import { and, eq, gt, isNull, or } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { Scope } from "../../domain/protocol/api/access.ts";
import type { Millis } from "../../domain/time.ts";
import { apiKeys } from "./schema.ts";

/** Broadcasters and their API keys, in D1: of keys their digests only. Every method rejects where D1 does not answer. */
export class Accounts {
  readonly #db: DrizzleD1Database;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** The account of an API key that is valid; null for any other. */
  async findByKey(digest: string, now: Millis): Promise<{ keyId: string; accountId: string; scopes: Scope[] } | null> {
    const { id: keyId, accountId, scopes } = apiKeys;
    const isValid = and(isNull(apiKeys.revokedAt), or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now)));
    const rows = await this.#db
      .select({ keyId, accountId, scopes })
      .from(apiKeys)
      .where(and(eq(apiKeys.digest, digest), isValid));
    return rows[0] ?? null;
  }
}
