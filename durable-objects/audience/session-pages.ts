import { NovaError } from "../../domain/errors.ts";
import type { ViewerSession } from "../../domain/protocol/api/viewers.ts";
import { isoTime, isoTimeOrNull, type Millis } from "../../domain/time.ts";
import { joinedAt, type SessionRow } from "./sessions.ts";

/** A page of the stays of a stream's viewers; `next` asks for the one after it, null where there is none. */
export interface SessionPage {
  sessions: ViewerSession[];
  next: string | null;
}

/** Where a page begins: with the sessions up to `id`, without those up to `id` of the members up to `member`, which were on the page before. */
export interface SessionCursor {
  id: number;
  member: number;
}

/** From the start where there is none. Throws 400 `invalid_cursor`. */
export function decodeCursor(cursor: string | null): SessionCursor {
  if (cursor === null) return { id: Number.MAX_SAFE_INTEGER, member: Number.NEGATIVE_INFINITY };
  const [, id, member] = /^(\d{1,16})\.(-?\d{1,6})$/.exec(cursor) ?? [];
  if (id === undefined || member === undefined || !Number.isSafeInteger(Number(id))) {
    throw new NovaError(400, "invalid_cursor", "cursor: take it from next_cursor of the page before");
  }
  return { id: Number(id), member: Number(member) };
}

/** One page out of what each object of the stream has: its `limit + 2` newest sessions up to the cursor's id. */
export function mergeSessions(
  pages: readonly { member: number; rows: readonly SessionRow[] }[],
  { id, member: seen }: SessionCursor,
  limit: number,
  now: Millis,
): SessionPage {
  const rows = pages
    .flatMap(({ member, rows: own }) => own.map((row) => ({ ...row, member })))
    .filter((row) => row.id < id || row.member > seen)
    .sort((a, b) => b.id - a.id || a.member - b.member);
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const next = rows.length > limit && last !== undefined ? `${last.id}.${last.member}` : null;
  return { sessions: page.map((row) => describeSession(row, now)), next };
}

function describeSession({ id, viewer, leftAt, rendition, stalls, switches, device, country }: SessionRow, now: Millis): ViewerSession {
  const joined = joinedAt(id);
  const duration_seconds = Math.max(0, (leftAt ?? now) - joined) / 1000;
  return {
    viewer,
    joined_at: isoTime(joined),
    left_at: isoTimeOrNull(leftAt),
    duration_seconds,
    rendition,
    stalls,
    switches,
    device,
    country,
  };
}
