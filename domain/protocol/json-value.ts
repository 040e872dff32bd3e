import { z } from "zod";

/** Anything that JSON can say. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [name: string]: JsonValue };

/** Any JSON, at most so many levels deep: whoever reads it by recursion must not run out of stack. */
export function anyJson(maxDepth = Number.POSITIVE_INFINITY) {
  // Not `z.json()`, which refers to itself: the API's document could not show it.
  const schema = z.unknown().refine((value) => value !== undefined && isWithinDepth(value, maxDepth), depthMessage(maxDepth));
  return schema as z.ZodType<JsonValue>;
}

function depthMessage(maxDepth: number): string {
  return Number.isFinite(maxDepth) ? `any JSON, at most ${maxDepth} levels deep` : "any JSON";
}

function isWithinDepth(value: unknown, levels: number): boolean {
  // JSON has no number that large: it would come out as null.
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isWithinDepth(item, levels - 1));
}
