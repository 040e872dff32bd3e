import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import type { JsonSchema, OpenApiObject } from "../../workers/api/document/openapi-object.ts";

const COMPONENT = "#/components/schemas/";

/** Holds values against the schemas of an OpenAPI document, by way of JSON Schema. */
export class SchemaCheck {
  readonly #ajv = new Ajv({ strict: true, allErrors: true });
  readonly #compiled = new Map<JsonSchema, ValidateFunction>();

  constructor(document: OpenApiObject) {
    addFormats.default(this.#ajv);
    for (const [name, schema] of Object.entries(document.components.schemas))
      this.#ajv.addSchema(convert(schema) as object, COMPONENT + name);
  }

  /** What is wrong with a value; empty where nothing is. */
  problems(schema: JsonSchema, value: unknown): string[] {
    let validate = this.#compiled.get(schema);
    if (validate === undefined) {
      validate = this.#ajv.compile(convert(schema) as object);
      this.#compiled.set(schema, validate);
    }
    return validate(value) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  }
}

/** A schema of OpenAPI 3.0 as one of JSON Schema draft 7. */
function convert(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== "object" || value === null) return value;
  const {
    nullable,
    example: _,
    description: __,
    exclusiveMinimum,
    exclusiveMaximum,
    minimum,
    maximum,
    properties,
    ...rest
  } = value as JsonSchema;
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
  return ["$ref", "enum", "default", "required"].includes(name);
}
