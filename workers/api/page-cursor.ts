import { NovaError } from "../../domain/errors.ts";

/** Where a list begins that nobody has asked a page of. */
const NEWEST = Number.MAX_SAFE_INTEGER;

/** A page of rows, the newest first, and the cursor of the next one; `rows` has one more than fit, where there are more. */
export function pageOf<Row extends { position: number }>(rows: Row[], limit: number): { page: Row[]; next_cursor: string | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { page, next_cursor: rows.length > limit && last !== undefined ? `p${last.position}` : null };
}

/** The position before which a page lies. Throws 400 `invalid_cursor`. */
export function decodePageCursor(cursor: string | undefined): number {
  if (cursor === undefined) return NEWEST;
  const [, position] = /^p(\d{1,15})$/.exec(cursor) ?? [];
  if (position === undefined) throw new NovaError(400, "invalid_cursor", "cursor: take it from next_cursor of the page before");
  return Number(position);
}
