import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import { readBody } from "../surface.ts";
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
    assertJson(bytes);
    headers.set("Content-Type", "application/json");
  }
  c.req.raw = new Request(c.req.url, { method: c.req.method, headers, body: bytes.length > 0 ? bytes : null });
}

function assertJson(bytes: Uint8Array): void {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch {
    throw new NovaError(400, "invalid_json", "the body is not valid JSON");
  }
}
