import fc from "fast-check";
import type { JsonSchema, OpenApiObject } from "../../../workers/api/document/openapi-object.ts";

/** What a field of some name must be for a request to make sense, beyond what its schema can say. */
export type Hints = Record<string, fc.Arbitrary<unknown>>;

const MINUTE_MS = 60_000;

/** Values that a schema of the document takes. */
export class SchemaValues {
  readonly #document: OpenApiObject;
  readonly #hints: Hints;

  constructor(document: OpenApiObject, hints: Hints) {
    this.#document = document;
    this.#hints = hints;
  }

  /** Of a field by its name, where there is a hint for it; otherwise of its schema. */
  ofField(name: string, schema: JsonSchema): fc.Arbitrary<unknown> {
    return this.#hints[name] ?? this.of(schema);
  }

  of(schema: JsonSchema): fc.Arbitrary<unknown> {
    const own = this.#bare(schema);
    return schema.nullable === true ? fc.option(own, { nil: null }) : own;
  }

  #bare(schema: JsonSchema): fc.Arbitrary<unknown> {
    if (schema.$ref !== undefined) return this.of(this.#resolve(schema.$ref));
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
    const either = schema.oneOf ?? schema.anyOf;
    if (either !== undefined) return fc.oneof(...either.map((one) => this.of(one)));
    switch (schema.type) {
      case "boolean":
        return fc.boolean();
      case "integer":
        return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 1_000_000 });
      case "number":
        return fc.double({ min: schema.minimum ?? 0, max: schema.maximum ?? 1_000_000, noNaN: true });
      case "string":
        return textOf(schema);
      case "array":
        return fc.array(this.of(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: Math.min(schema.maxItems ?? 4, 6) });
      case "object":
        return this.#object(schema);
      default:
        return fc.jsonValue({ maxDepth: 4, noUnicodeString: false }).filter((value) => JSON.stringify(value).length < 1_000);
    }
  }

  #object({ properties = {}, required = [] }: JsonSchema): fc.Arbitrary<unknown> {
    const fields = Object.fromEntries(Object.entries(properties).map(([name, own]) => [name, this.ofField(name, own)]));
    return fc.record(fields, { requiredKeys: required });
  }

  #resolve(reference: string): JsonSchema {
    const schema = this.#document.components.schemas[reference.replace(/.*\//, "")];
    if (schema === undefined) throw new Error(`no such schema: ${reference}`);
    return schema;
  }
}

function textOf({ format, pattern, minLength = 0, maxLength = 64 }: JsonSchema): fc.Arbitrary<string> {
  if (format === "date-time") return timeFromNow(1, 60);
  if (format === "uuid") return fc.uuid();
  if (pattern !== undefined) {
    const whole = new RegExp(pattern);
    // fast-check does not look ahead.
    return fc.stringMatching(new RegExp(pattern.replace(/\(\?=[^)]*\)/g, ""))).filter((text) => whole.test(text));
  }
  // Words for people: seen, and without control characters.
  const visible = fc.string({ unit: "grapheme", minLength: 0, maxLength: Math.min(maxLength - 1, 40) });
  return visible
    .map((text) => `x${text.replace(/\p{C}/gu, "")}`.slice(0, Math.max(minLength, Math.min(maxLength, 40))))
    .map((text) => text.toWellFormed());
}

/** A time so many minutes from now, at least and at most. */
export function timeFromNow(from: number, to: number): fc.Arbitrary<string> {
  return fc.integer({ min: from, max: to }).map((minutes) => new Date(Date.now() + minutes * MINUTE_MS).toISOString());
}
