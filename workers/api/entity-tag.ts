import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import type { ApiSurface } from "./access.ts";
import type { DocumentedHeaders } from "./operation.ts";

/** The header that makes a change conditional, for an operation's `request.headers`. */
export const IfMatch = {
  "If-Match": z.string().max(256).optional().meta({ description: "`ETag` of the revision that the change is meant for", example: '"3"' }),
};

/** The header that names a revision, for an operation's answer. */
export const RevisionHeader: DocumentedHeaders = {
  ETag: { description: "The revision, for `If-Match`", schema: { type: "string" }, example: '"3"' },
};

/** The `ETag` of something that broadcasters change. It tells of what they set, not of what happens to it, such as viewers coming. */
export function tagOf({ revision }: { revision: number }): string {
  return `"${revision}"`;
}

/** Whether a request is meant for one revision only. Throws 412 `revision_mismatch` where that is another than the current one. */
export function readIfMatch(c: Context<ApiSurface>, current: { revision: number }): boolean {
  const wanted = c.req.header("If-Match");
  if (wanted === undefined) return false;
  const tags = wanted.split(",").map((tag) => tag.trim());
  if (tags.includes("*")) return false;
  if (tags.includes(tagOf(current))) return true;
  throw revisionMismatch(current);
}

/** The refusal of a change that is meant for an older revision. */
export function revisionMismatch(current: { revision: number }): NovaError {
  const message = `somebody has changed it since: it is at revision ${tagOf(current)}; get it and try again`;
  return new NovaError(412, "revision_mismatch", message);
}
