import { stringify } from "yaml";
import type { OpenApiObject } from "../../workers/api/document/openapi-object.ts";

/** The document as YAML, as it lies in docs/. */
export function encodeYaml(document: OpenApiObject): string {
  return stringify(document, { aliasDuplicateObjects: false, lineWidth: 0, blockQuote: "literal" });
}
