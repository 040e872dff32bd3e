import type { Context } from "hono";
import type { RouterRoute } from "hono/types";
import { NovaError } from "../../domain/errors.ts";
import type { ErrorBody } from "../../domain/protocol/api/refusals.ts";
import type { Surface } from "../surface.ts";

const API = "/api/v1/";

/** Which methods the routes of an app answer, by the pattern of their paths. */
export class KnownMethods {
  readonly #paths: { pattern: RegExp; methods: Set<string> }[];

  constructor(routes: readonly RouterRoute[]) {
    const byPath = new Map<string, Set<string>>();
    // What is for all methods is middleware.
    for (const { path, method } of routes.filter(({ path, method }) => path.startsWith(API) && method !== "ALL")) {
      byPath.set(path, (byPath.get(path) ?? new Set()).add(method));
    }
    this.#paths = [...byPath].map(([path, methods]) => ({ pattern: patternOf(path), methods }));
  }

  /** The methods of a path, for `Allow`; none for one that is not there. */
  of(path: string): string[] {
    const methods = new Set(this.#paths.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => [...methods]));
    if (methods.has("GET")) methods.add("HEAD");
    if (methods.size > 0) methods.add("OPTIONS");
    return [...methods].sort();
  }
}

/**
 * The answer to what the API has no route for: 405 `method_not_allowed` with `Allow` where only the method is wrong, else 404 `not_found`, for
 * browsers too. Null for addresses that are not the API's.
 */
export function answerUnknown(c: Context<Surface>, known: KnownMethods): Response | null {
  if (!c.req.path.startsWith(API)) return null;
  const methods = known.of(c.req.path);
  if (methods.length === 0) throw new NovaError(404, "not_found", "nothing is at this address of the API");
  const allow = { Allow: methods.join(", "), "Cache-Control": "no-store" };
  if (c.req.method === "OPTIONS") return c.body(null, 204, allow);
  const message = `${c.req.method} is not for this address: it takes ${allow.Allow}`;
  return c.json({ error: "method_not_allowed", message, request_id: c.get("requestId") } satisfies ErrorBody, 405, allow);
}

function patternOf(path: string): RegExp {
  const segments = path.split("/").map((segment) => {
    const [, pattern] = /^:\w+(?:\{(.+)\})?$/.exec(segment) ?? [];
    if (!segment.startsWith(":")) return segment.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return pattern === undefined ? "[^/]+" : `(?:${pattern})`;
  });
  return new RegExp(`^${segments.join("/")}$`);
}
