import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { Surface } from "../surface.ts";

const SECURITY_HEADERS = {
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
};
const ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE";
const ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match";
const EXPOSED_HEADERS = "ETag, X-Request-Id, Retry-After, Location, Idempotency-Replayed, Allow";
const PREFLIGHT_SECONDS = 600;

/** The headers of every answer of the API; and CORS for the own origin and those of `ALLOWED_ORIGINS`. A beacon, which any site may send, has CORS of its own. */
export const apiHeaders = createMiddleware<Surface>(async (c, next) => {
  const isPreflight = c.req.method === "OPTIONS" && c.req.header("Access-Control-Request-Method") !== undefined;
  if (isPreflight && !c.req.path.endsWith("/beacon")) c.res = c.body(null, 204);
  else await next();
  // An upgrade to a WebSocket is passed on as it is.
  if (c.res.status === 101) return;
  const headers = new Headers(c.res.headers);
  headers.set("X-Request-Id", c.get("requestId"));
  if (!headers.has("Cache-Control")) headers.set("Cache-Control", "no-store");
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) headers.set(name, value);
  if (new URL(c.req.url).protocol === "https:") headers.set("Strict-Transport-Security", "max-age=31536000");
  if (!headers.has("Access-Control-Allow-Origin")) share(c, headers, isPreflight);
  const { status, body } = c.res;
  c.res = undefined;
  c.res = new Response(body, { status, headers });
});

/** No credentials are shared: a key is sent by whoever holds it, never by a browser on its own. */
function share(c: Context<Surface>, headers: Headers, isPreflight: boolean): void {
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  headers.append("Vary", "Origin");
  const origin = c.req.header("Origin");
  if (origin === undefined || !mayCall(origin, new URL(c.req.url).origin, c.env.ALLOWED_ORIGINS)) return;
  headers.set("Access-Control-Allow-Origin", origin);
  headers.set("Access-Control-Expose-Headers", EXPOSED_HEADERS);
  if (!isPreflight) return;
  headers.set("Access-Control-Allow-Methods", ALLOWED_METHODS);
  headers.set("Access-Control-Allow-Headers", ALLOWED_HEADERS);
  headers.set("Access-Control-Max-Age", String(PREFLIGHT_SECONDS));
}

function mayCall(origin: string, own: string, allowed: string): boolean {
  return origin === own || allowed.split(",").some((entry) => entry.trim() === origin);
}
