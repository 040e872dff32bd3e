/** A body cut to what a `Range` header asks for. */
export interface Cut {
  status: 200 | 206 | 416;
  bytes: Uint8Array<ArrayBuffer>;
  contentRange: string | null;
}

/** Cuts one byte range, rfc9110 §14. Several ranges, or a header that is not valid, give the whole; a range outside it gives 416. */
export function cutRange(header: string | undefined, whole: Uint8Array<ArrayBuffer>): Cut {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "") ?? [];
  if (first === undefined || last === undefined || (first === "" && last === "")) return { status: 200, bytes: whole, contentRange: null };
  if (first !== "" && last !== "" && Number(last) < Number(first)) return { status: 200, bytes: whole, contentRange: null };
  const size = whole.length;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (start >= size || end < start) return { status: 416, bytes: new Uint8Array(), contentRange: `bytes */${size}` };
  return { status: 206, bytes: whole.subarray(start, end + 1), contentRange: `bytes ${start}-${end}/${size}` };
}
