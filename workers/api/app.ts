import { readJsonBody } from "./json-body.ts";
import { createRouter } from "./router.ts";
import { streams } from "./streams.ts";

/** The control plane, below `/api/v1`. */
export const api = createRouter();
api.use(readJsonBody);
api.use(async (c, next) => {
  await next();
  c.header("Cache-Control", "no-store");
});

/** Its operations, for the typed client. */
export const operations = api.route("/", streams);
export type Api = typeof operations;
