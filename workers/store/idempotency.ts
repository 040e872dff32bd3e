import { and, eq, isNull, lt, or } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import type { Millis } from "../../domain/time.ts";
import { idempotencyKeys } from "./schema.ts";

/** How long an answer is kept. */
const KEPT_MS: Millis = 86_400_000;
/** After this long without an answer, the request that had begun has died. */
const DEAD_MS: Millis = 60_000;

/** Which key of which account. */
export interface IdempotencyId {
  accountId: string;
  digest: string;
}

/** What is known of a request with this key. */
export type Earlier =
  | { state: "running"; requestDigest: string }
  | { state: "answered"; requestDigest: string; status: number; answer: string };

/** Requests that must not be carried out twice, in D1. Every method rejects where D1 does not answer. */
export class Idempotency {
  readonly #db: DrizzleD1Database;

  constructor(db: D1Database) {
    this.#db = drizzle(db);
  }

  /** Claims a key for a request that begins now: null where it is the first one, or the one before has died or is forgotten. */
  async begin(id: IdempotencyId, requestDigest: string, now: Millis): Promise<Earlier | null> {
    const isForgotten = lt(idempotencyKeys.createdAt, now - KEPT_MS);
    const isDead = and(
      ...[isNull(idempotencyKeys.status), eq(idempotencyKeys.requestDigest, requestDigest)],
      lt(idempotencyKeys.createdAt, now - DEAD_MS),
    );
    const claimed = await this.#db
      .insert(idempotencyKeys)
      .values({ ...id, requestDigest, createdAt: now })
      .onConflictDoUpdate({
        target: [idempotencyKeys.accountId, idempotencyKeys.digest],
        set: { requestDigest, status: null, answer: null, createdAt: now },
        setWhere: or(isForgotten, isDead),
      })
      .returning({ createdAt: idempotencyKeys.createdAt });
    if (claimed.length > 0) return null;
    const [row] = await this.#db.select().from(idempotencyKeys).where(this.#is(id));
    // Freed in between: whoever tries again finds it so.
    if (row === undefined) return { state: "running", requestDigest };
    const { status, answer } = row;
    if (status === null || answer === null) return { state: "running", requestDigest: row.requestDigest };
    return { state: "answered", requestDigest: row.requestDigest, status, answer };
  }

  /** Keeps the answer of the request that began at `begunAt`, if nobody has taken the key over since. */
  async keep(id: IdempotencyId, begunAt: Millis, status: number, answer: string): Promise<void> {
    await this.#db.update(idempotencyKeys).set({ status, answer }).where(this.#isRunning(id, begunAt));
  }

  /** Frees a key whose request came to nothing. */
  async free(id: IdempotencyId, begunAt: Millis): Promise<void> {
    await this.#db.delete(idempotencyKeys).where(this.#isRunning(id, begunAt));
  }

  #is({ accountId, digest }: IdempotencyId) {
    return and(eq(idempotencyKeys.accountId, accountId), eq(idempotencyKeys.digest, digest));
  }

  #isRunning(id: IdempotencyId, begunAt: Millis) {
    return and(this.#is(id), isNull(idempotencyKeys.status), eq(idempotencyKeys.createdAt, begunAt));
  }
}
