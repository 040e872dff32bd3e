import type { OpenApiObject } from "./openapi-object.ts";

type Json = { [name: string]: unknown };
type Responses = Record<string, Json>;

/** Headers that answers have, whatever the operation. */
const HEADERS = {
  "X-Request-Id": {
    description: "What to find the request by, as `request_id` in the body of a refusal",
    schema: { type: "string" },
    example: "8f1c6f0e9d2a4b7c-FRA",
  },
  "Retry-After": {
    description: "After how many seconds to try again",
    schema: { type: "integer", minimum: 0 },
    example: 5,
  },
};

/** Completes what the generator has made of the routes: headers of every answer, extensions by operation id, each refusal only once, and nothing that 3.0.3 does not allow. */
export function finishDocument(generated: object, extensions: Record<string, Json>): OpenApiObject {
  const { components, paths, ...rest } = structuredClone(generated) as { components: Json; paths: Record<string, Record<string, Json>> };
  const shared = new Map<string, Json>();
  for (const operation of Object.values(paths).flatMap((path) => Object.values(path))) {
    Object.assign(operation, extensions[operation.operationId as string]);
    const scope = operation["x-required-scope"];
    if (scope !== undefined) operation.description = `${operation.description}\n\nNeeds the scope \`${scope}\`.`;
    if (operation.parameters !== undefined) operation.parameters = (operation.parameters as Json[]).map(parameterOf);
    const responses = operation.responses as Responses;
    for (const [status, response] of Object.entries(responses)) {
      // An upgrade is passed on as it is.
      if (status === "101") continue;
      response.headers = { ...headersOf(status), ...(response.headers as Json | undefined) };
      const name = refusalName(response);
      if (name === null) continue;
      shared.set(name, response);
      responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  const { parameters: _, schemas, ...others } = components;
  const refusals = Object.fromEntries([...shared].sort(([a], [b]) => a.localeCompare(b)));
  // The order is that of a reader: what can be done, then what things look like.
  const parts = { ...others, headers: HEADERS, responses: refusals, schemas };
  return dropBareNullable({ ...rest, paths, components: parts }) as OpenApiObject;
}

/** A parameter that says each thing once. The example of one that may be left out is told in words: pages to try things with fill it in otherwise. */
function parameterOf({ name, in: place, required, schema, description: _, ...rest }: Json): Json {
  const { description, example, ...own } = schema as Json;
  const aside = required === true || example === undefined ? undefined : `For example \`${example}\``;
  const told = [description, aside].filter((part) => part !== undefined).join(". ");
  const said = { ...(told === "" ? {} : { description: told }), ...(required === true && example !== undefined ? { example } : {}) };
  return { name, in: place, required, ...rest, ...said, schema: own };
}

function headersOf(status: string): Json {
  const names = ["X-Request-Id", ...(status === "429" || status === "503" ? ["Retry-After"] : [])];
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

/** A refusal is called by its codes; null for other answers. */
function refusalName(response: Json): string | null {
  const [content] = Object.values((response.content ?? {}) as Record<string, { schema?: { $ref?: string }; examples?: Json }>);
  return content?.schema?.$ref === "#/components/schemas/Error"
    ? Object.keys(content.examples ?? {})
        .sort()
        .join(".")
    : null;
}

/** Without `nullable` where no type stands beside it: it means nothing there, and the schema takes null anyway. */
function dropBareNullable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropBareNullable);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([name, own]) => !(name === "nullable" && own === true && !("type" in value)));
  return Object.fromEntries(entries.map(([name, own]) => [name, dropBareNullable(own)]));
}
