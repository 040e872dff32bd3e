import type { z } from "@hono/zod-openapi";
import type { Scope } from "../../domain/protocol/api/access.ts";
import { ErrorBody, REFUSALS, type RefusalCode } from "../../domain/protocol/api/refusals.ts";
import { requireCaller, requireScope } from "./access.ts";

/** What the parts of an operation look like in `createRoute`: `{...authorized("streams:read"), request, responses}`. */

/** An operation that needs a key with a scope. */
export function authorized<Of extends Scope>(scope: Of) {
  return { security: [{ apiKey: [] as string[] }], middleware: requireScope(scope), "x-required-scope": scope };
}

/** An operation that needs a valid key, whatever its scopes. */
export function authenticated() {
  return { security: [{ apiKey: [] as string[] }], middleware: requireCaller() };
}

/** Headers of an answer, as the API's document shows them. */
export type DocumentedHeaders = Record<string, { description: string; schema: { type: "string" }; example: string }>;

/** An answer with a JSON body. */
export function answer<Schema extends z.ZodType>(schema: Schema, description: string, headers: DocumentedHeaders = {}) {
  return { description, headers, content: { "application/json": { schema } } };
}

/** A JSON body that must be there. */
export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true as const, content: { "application/json": { schema } } };
}

/** Refusals that every operation with a key can give. */
const COMMON: readonly RefusalCode[] = ["invalid_request", "unauthorized", "forbidden", "rate_limited", "internal_error", "unavailable"];

/** The refusals of an operation, by status, each code with an example: those that every operation has, and its own. */
export function refusals(...codes: RefusalCode[]) {
  return refusalsWithoutKey(...COMMON, ...codes);
}

/** The refusals of an operation that needs no key: all that it has are named. */
export function refusalsWithoutKey(...codes: RefusalCode[]) {
  const byStatus = new Map<number, RefusalCode[]>();
  for (const code of new Set(codes)) {
    const [status] = REFUSALS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries([...byStatus].sort(([a], [b]) => a - b).map(([status, own]) => [status, refusal(own)]));
}

function refusal(codes: RefusalCode[]) {
  const examples = codes.map((code) => [
    code,
    { value: { error: code, message: REFUSALS[code][1], request_id: "8f1c6f0e9d2a4b7c-FRA" } satisfies ErrorBody },
  ]);
  return {
    description: codes.map((code) => `\`${code}\`: ${REFUSALS[code][1]}`).join(". "),
    content: { "application/json": { schema: ErrorBody, examples: Object.fromEntries(examples) } },
  };
}
