import type { Millis } from "../time.ts";

/** How many messages may come in how long. */
export interface MessageLimit {
  messages: number;
  windowMs: Millis;
}

/** What one client may send. */
export const CLIENT_LIMIT: MessageLimit = { messages: 10, windowMs: 10_000 };
/** What a broadcaster may send along with a stream. */
export const METADATA_LIMIT: MessageLimit = { messages: 5, windowMs: 1_000 };

/** How many messages have come in the current window; small enough for a socket's attachment. */
export interface MessageBudget {
  windowStart: Millis;
  used: number;
}

/** Counts a message; null where it is one too many. */
export function spendMessage(budget: MessageBudget, limit: MessageLimit, now: Millis): MessageBudget | null {
  const age = now - budget.windowStart;
  if (age >= limit.windowMs || age < 0) return { windowStart: now, used: 1 };
  if (budget.used >= limit.messages) return null;
  return { windowStart: budget.windowStart, used: budget.used + 1 };
}
