import { readJsonBody } from "./json-body.ts";
import { createRouter } from "./router.ts";
import { streamKeys } from "./stream-keys.ts";
import { streams } from "./streams.ts";

/** The control plane, below `/api/v1`. */
export const api = createRouter();
api.use(readJsonBody);
api.use(async (c, next) => {
  await next();
  c.header("Cache-Control", "no-store");
});

/** Its operations, for the typed client. */
export const operations = api.route("/", streams).route("/", streamKeys);
export type Api = typeof operations;
