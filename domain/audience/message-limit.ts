import type { Millis } from "../time.ts";

const WINDOW_MS: Millis = 10_000;
const MESSAGES = 10;

/** How many messages a socket has sent in the current window; small enough for a socket's attachment. */
export interface MessageBudget {
  windowStart: Millis;
  used: number;
}

/** Counts a message; null where it is more than 10 in 10 s. */
export function spendMessage(budget: MessageBudget, now: Millis): MessageBudget | null {
  if (now - budget.windowStart >= WINDOW_MS) return { windowStart: now, used: 1 };
  if (budget.used >= MESSAGES) return null;
  return { windowStart: budget.windowStart, used: budget.used + 1 };
}
