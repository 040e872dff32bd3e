import type { Context } from "hono";
import { parseJson, readBody } from "../surface.ts";
import type { ApiSurface } from "./access.ts";

/** The longest body that the API reads. */
const MAX_BODY_BYTES = 65_536;

/**
 * Reads a request's body before its route does: refuses what is too long (413 `body_too_large`) or not JSON (400 `invalid_json`), and calls
 * the rest JSON whatever its type says, as `curl -d` and others send a form's.
 */
export async function readJsonBody(c: Context<ApiSurface>): Promise<void> {
  if (c.req.raw.body === null || ["GET", "HEAD", "OPTIONS"].includes(c.req.method)) return;
  const bytes = await readBody(c.req.raw, MAX_BODY_BYTES);
  const headers = new Headers(c.req.raw.headers);
  headers.delete("Content-Type");
  if (bytes.length > 0) {
    parseJson(bytes);
    headers.set("Content-Type", "application/json");
  }
  c.req.raw = new Request(c.req.url, { method: c.req.method, headers, body: bytes.length > 0 ? bytes : null });
}
