import type { Hono } from "hono";
import { hc } from "hono/client";
import type { BlankEnv } from "hono/types";
import type { Operations } from "./operations.ts";

/** How a client calls the API. */
export interface ApiClientOptions {
  /** An API key, or a JWT. Operations that need none work without it. */
  apiKey?: string;
  /** What carries the requests; the global `fetch` where it is left out. */
  fetch?: typeof fetch;
}

/** The API of a deployment, by its paths: `client.api.v1.streams[":id"].$get({ param: { id } })`. Types are those of the API's document. */
export type ApiClient = ReturnType<typeof createApiClient>;

/** @param site `https://host` of the deployment, or empty for that of the page */
export function createApiClient(site: string, { apiKey, fetch }: ApiClientOptions = {}) {
  return hc<Hono<BlankEnv, Operations>>(site, {
    headers: apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` },
    ...(fetch === undefined ? {} : { fetch }),
  });
}
