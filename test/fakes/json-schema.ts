import type { JsonSchema, OpenApiObject } from "../../workers/api/document/openapi-object.ts";

/** A schema of OpenAPI 3.0 as JSON Schema draft 7, with all that it refers to: for ajv. */
export function encodeJsonSchema(schema: JsonSchema, document: OpenApiObject): object {
  const definitions = Object.fromEntries(Object.entries(document.components.schemas).map(([name, own]) => [name, convert(own)]));
  return { ...(convert(schema) as object), definitions };
}

function convert(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== "object" || value === null) return value;
  const { $ref, nullable, example, description, exclusiveMinimum, exclusiveMaximum, minimum, maximum, properties, ...rest } =
    value as JsonSchema;
  if ($ref !== undefined) return { $ref: $ref.replace("#/components/schemas/", "#/definitions/") };
  const own: Record<string, unknown> = Object.fromEntries(
    Object.entries(rest).map(([name, part]) => [name, isData(name) ? part : convert(part)]),
  );
  if (properties !== undefined)
    own.properties = Object.fromEntries(Object.entries(properties).map(([name, part]) => [name, convert(part)]));
  if (nullable === true) own.type = [rest.type, "null"];
  if (minimum !== undefined) own[exclusiveMinimum === true ? "exclusiveMinimum" : "minimum"] = minimum;
  if (maximum !== undefined) own[exclusiveMaximum === true ? "exclusiveMaximum" : "maximum"] = maximum;
  return own;
}

/** What stands for itself, and is no schema. */
function isData(name: string): boolean {
  return ["enum", "default", "required"].includes(name);
}
