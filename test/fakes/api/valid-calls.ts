import fc from "fast-check";
import type { OpenApiObject, Parameter } from "../../../workers/api/document/openapi-object.ts";
import type { ApiCall, PlacedOperation } from "./api-call.ts";
import type { KnownThings } from "./known-things.ts";
import { type Hints, SchemaValues, timeFromNow } from "./schema-values.ts";

/** A call that is put together when its turn has come, out of what is known by then. */
export type CallPlan = (known: KnownThings) => ApiCall;

const encoder = new TextEncoder();
const CURSORS = ["cursor", "after"];

/** Calls that the document takes. */
export class ValidCalls {
  readonly #values: SchemaValues;
  readonly #headers: Record<string, string>;

  /**
   * @param headers what every call is sent with
   * @param hints fields that must make sense, beside those that are the same everywhere
   */
  constructor(document: OpenApiObject, headers: Record<string, string>, hints: Hints) {
    this.#headers = headers;
    this.#values = new SchemaValues(document, {
      since: timeFromNow(-600, -60),
      until: timeFromNow(-30, 0),
      expires_at: timeFromNow(1, 10_000),
      ...hints,
    });
  }

  of(operation: PlacedOperation): fc.Arbitrary<CallPlan> {
    const { parameters = [], requestBody } = operation;
    const bodySchema = requestBody?.content["application/json"]?.schema;
    return fc
      .record({
        pick: fc.nat(),
        params: this.#fields(parameters, "path"),
        query: this.#fields(parameters, "query"),
        headers: this.#fields(parameters, "header"),
        body: bodySchema === undefined ? fc.constant(undefined) : this.#values.of(bodySchema).filter(isBody),
      })
      .map((made) => (known) => {
        const things = known.paramsOf(operation.path);
        const params =
          things.length > 0 && made.pick % 10 > 0 ? (things[made.pick % things.length] as Record<string, string>) : made.params;
        const cursors = known.cursorsOf(operation.path);
        // A cursor is what an answer gave, or none.
        const cursor = made.pick % 2 === 0 ? cursors[made.pick % Math.max(cursors.length, 1)] : undefined;
        const paged = Object.keys(made.query).filter((name) => !CURSORS.includes(name) || cursor !== undefined);
        const query = paged.map((name) => [name, CURSORS.includes(name) && cursor !== undefined ? cursor : (made.query[name] ?? "")]);
        const search = new URLSearchParams(query).toString();
        return {
          method: operation.method,
          target: pathOf(operation.path, params) + (search === "" ? "" : `?${search}`),
          headers: { ...this.#headers, ...made.headers, ...(made.body === undefined ? {} : { "Content-Type": "application/json" }) },
          body: made.body === undefined ? null : encoder.encode(JSON.stringify(made.body)),
          ...{ operation, params, isValid: true },
        };
      });
  }

  #fields(parameters: readonly Parameter[], place: Parameter["in"]): fc.Arbitrary<Record<string, string>> {
    const own = parameters.filter((parameter) => parameter.in === place);
    const fields = Object.fromEntries(own.map(({ name, schema }) => [name, this.#values.ofField(name, schema).map(String)]));
    return fc.record(fields, { requiredKeys: own.flatMap(({ name, required }) => (required === true ? [name] : [])) }) as fc.Arbitrary<
      Record<string, string>
    >;
  }
}

/** The path of an operation with its parameters, encoded. */
export function pathOf(path: string, params: Record<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ""));
}

/** A change that names nothing is none. */
function isBody(body: unknown): boolean {
  return typeof body !== "object" || body === null || Object.keys(body).length > 0;
}
