import { OpenAPIHono } from "@hono/zod-openapi";
import { invalidRequest } from "../surface.ts";
import type { ApiSurface } from "./access.ts";

/** A router whose operations are described in the API's document, and whose input is held against their schemas: 400 `invalid_request`. */
export function createRouter(): OpenAPIHono<ApiSurface> {
  return new OpenAPIHono<ApiSurface>({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.error.issues);
    },
  });
}
