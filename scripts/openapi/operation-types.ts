import type { ApiOperation, ApiResponse, JsonSchema, OpenApiObject } from "../../workers/api/document/openapi-object.ts";

const HEAD = `// Written by \`npm run openapi\` from the API's document: change the schemas, not this.
import type { Endpoint, WithRefusals } from "./endpoint.ts";
`;

/** Names that TypeScript has given away. */
const TAKEN: Record<string, string> = { Error: "ErrorBody" };

/** TypeScript for what the API's document describes: an interface or type for each schema, and `Operations` for hono's client. */
export function encodeOperationTypes(document: OpenApiObject): string {
  const schemas = Object.entries(document.components.schemas).sort(([a], [b]) => a.localeCompare(b));
  const types = schemas.map(([name, schema]) => `export type ${nameOf(name)} = ${typeOf(schema)};\n`);
  const paths = Object.entries(document.paths).map(([path, operations]) => {
    const methods = Object.entries(operations).map(([method, operation]) => `    $${method}: ${endpointOf(operation, document)};\n`);
    return `  "${path.replace(/\{(\w+)\}/g, ":$1")}": {\n${methods.join("")}  };\n`;
  });
  return `${HEAD}\n${types.join("")}\n/** What can be done at which path, by which method. */\nexport type Operations = {\n${paths.join("")}};\n`;
}

function nameOf(name: string): string {
  return TAKEN[name] ?? name;
}

function typeOf(schema: JsonSchema): string {
  const type = bareTypeOf(schema);
  return schema.nullable === true && !schema.enum?.includes(null) ? `${type} | null` : type;
}

function bareTypeOf(schema: JsonSchema): string {
  if (schema.$ref !== undefined) return nameOf(schema.$ref.replace(/.*\//, ""));
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const union = schema.oneOf ?? schema.anyOf;
  if (union !== undefined) return union.map(grouped).join(" | ");
  if (schema.allOf !== undefined) return schema.allOf.map(grouped).join(" & ");
  switch (schema.type) {
    case "integer":
    case "number":
      return "number";
    case "array":
      return `${grouped(schema.items ?? {})}[]`;
    case "object":
      return objectTypeOf(schema);
    default:
      return schema.type ?? "unknown";
  }
}

function grouped(schema: JsonSchema): string {
  const type = typeOf(schema);
  return / [|&] /.test(type) ? `(${type})` : type;
}

function objectTypeOf({ properties = {}, required = [], additionalProperties }: JsonSchema): string {
  const fields = Object.entries(properties).map(
    ([name, schema]) => `${keyOf(name)}${required.includes(name) ? "" : "?"}: ${typeOf(schema)}`,
  );
  if (fields.length > 0) return `{ ${fields.join("; ")} }`;
  return `Record<string, ${typeof additionalProperties === "object" ? typeOf(additionalProperties) : "unknown"}>`;
}

function keyOf(name: string): string {
  return /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
}

function endpointOf(operation: ApiOperation, document: OpenApiObject): string {
  const answers: string[] = [];
  const refusals: string[] = [];
  for (const [status, response] of Object.entries(operation.responses)) {
    const schema = jsonSchemaOf(response, document);
    if (schema?.$ref === "#/components/schemas/Error") refusals.push(status);
    else answers.push(`${status}: ${schema === undefined ? "null" : typeOf(schema)}`);
  }
  return `Endpoint<${inputOf(operation)}, WithRefusals<{ ${answers.join("; ")} }, ${refusals.join(" | ")}, ErrorBody>>`;
}

function jsonSchemaOf(response: ApiResponse, document: OpenApiObject): JsonSchema | undefined {
  const own = "$ref" in response ? document.components.responses[response.$ref.replace(/.*\//, "")] : response;
  return own?.content?.["application/json"]?.schema;
}

/** As hono's client takes it: parameters by where they stand, and the body. */
function inputOf({ parameters = [], requestBody }: ApiOperation): string {
  const parts = (["path", "query", "header"] as const).flatMap((place) => {
    const own = parameters.filter((parameter) => parameter.in === place);
    if (own.length === 0) return [];
    const isRequired = own.some(({ required }) => required === true);
    const fields = own.map(({ name, required, schema }) => `${keyOf(name)}${required === true ? "" : "?"}: ${grouped(schema)}`);
    return `${place === "path" ? "param" : place}${isRequired ? "" : "?"}: { ${fields.join("; ")} }`;
  });
  const body = requestBody?.content["application/json"]?.schema;
  if (body !== undefined) parts.push(`json${requestBody?.required === true ? "" : "?"}: ${typeOf(body)}`);
  return parts.length === 0 ? "object" : `{ ${parts.join("; ")} }`;
}
