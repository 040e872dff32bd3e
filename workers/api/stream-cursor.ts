import { NovaError } from "../../domain/errors.ts";
import type { StreamSort } from "../../domain/protocol/api/streams.ts";
import type { StreamRow } from "../store/schema.ts";
import { type StreamCursor, sortColumn } from "../store/streams.ts";

/** The cursor of the page after a row. */
export function encodeStreamCursor(sort: StreamSort, row: StreamRow): string {
  return `${sort}.${row[sortColumn(sort)]}.${row.id}`;
}

/** Where a page begins. Throws 400 `invalid_cursor`, also for the cursor of a list in another order. */
export function decodeStreamCursor(sort: StreamSort, cursor: string): StreamCursor {
  const [, of, value, id] = /^(-?[a-z_]{1,16})\.(\d{1,15})\.([0-9a-z]{24})$/.exec(cursor) ?? [];
  if (of !== sort || value === undefined || id === undefined) {
    throw new NovaError(400, "invalid_cursor", "cursor: take it from next_cursor of the page before, with the same filters and order");
  }
  return { value: Number(value), id };
}
