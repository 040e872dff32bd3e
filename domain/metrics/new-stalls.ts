import type { Millis } from "../time.ts";

/**
 * How many stalls a player's report tells of that were not known. Players count since their page was opened, so the first word of one that has come back
 * over a new connection says nothing new. None stalls more than once a second, whatever it says.
 */
export function newStalls(
  said: number,
  before: { stalls: number; at: Millis },
  seat: { joinedAt: Millis; isBack: boolean },
  now: Millis,
): number {
  if (before.at === 0 && seat.isBack) return 0;
  const seconds = Math.max(0, Math.ceil((now - Math.max(before.at, seat.joinedAt)) / 1000));
  // A page that was opened anew counts from 0.
  const added = said >= before.stalls ? said - before.stalls : said;
  return Math.min(added, seconds);
}
