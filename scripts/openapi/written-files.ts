import { registerHooks } from "node:module";
import type { OpenApiObject } from "../../workers/api/document/openapi-object.ts";
import { encodeOperationTypes } from "./operation-types.ts";
import { encodeYaml } from "./yaml.ts";

/** What the Worker's modules want of its runtime while they load. None of it is called. */
const RUNTIME = `export class DurableObject {}\nexport class WorkerEntrypoint {}\nexport const env = {}, exports = {};\nexport function waitUntil() {}`;

/** What follows from the API's schemas and is kept in the repository: the texts of files by their paths. */
export async function encodeWrittenFiles(): Promise<Record<string, string>> {
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === "cloudflare:workers"
        ? { url: `data:text/javascript,${encodeURIComponent(RUNTIME)}`, shortCircuit: true }
        : next(specifier, context),
  });
  try {
    // By a name that the type check cannot follow: it would take the Worker's sources for a Node program's.
    const source = new URL("../../workers/api/document.ts", import.meta.url).href;
    const { apiDocument } = (await import(/* @vite-ignore */ source)) as { apiDocument: () => OpenApiObject };
    return {
      "docs/streaming-api.openapi.yaml": encodeYaml(apiDocument()),
      "workers/api/client/operations.ts": encodeOperationTypes(apiDocument()),
    };
  } finally {
    hooks.deregister();
  }
}
