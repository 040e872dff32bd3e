import { Agent, request } from "node:http";
import type { ApiOperation, JsonSchema, OpenApiObject } from "../../../workers/api/document/openapi-object.ts";
import type { SchemaCheck } from "../schema-check.ts";

/** An operation with its place. */
export interface PlacedOperation extends ApiOperation {
  method: string;
  path: string;
}

/** A request as it goes over the line. */
export interface ApiCall {
  method: string;
  /** Path and query, encoded. */
  target: string;
  headers: Record<string, string>;
  body: Uint8Array | null;
  /** The operation that answers; null where the request is too odd to reach one. */
  operation: PlacedOperation | null;
  /** What the path's parameters are. */
  params: Record<string, string>;
  /** Whether the document takes it, as far as its schemas can say; null where that is not known. */
  isValid: boolean | null;
}

/** An answer as it came. */
export interface ApiAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

/** All operations of a document. */
export function operationsOf(document: OpenApiObject): PlacedOperation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method: method.toUpperCase(), path })),
  );
}

/** Sends calls as they are: no client mends what is odd about them. */
export class Line {
  readonly #site: URL;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });

  constructor(site: string) {
    this.#site = new URL(site);
  }

  send({ method, target, headers, body }: Pick<ApiCall, "method" | "target" | "headers" | "body">): Promise<ApiAnswer> {
    const length = body === null ? {} : { "Content-Length": String(body.length) };
    const { hostname, port } = this.#site;
    return new Promise((resolve, reject) => {
      const sent = request({
        hostname,
        port,
        method,
        path: target,
        headers: { ...headers, ...length },
        agent: this.#agent,
        timeout: 20_000,
      });
      sent.on("response", (response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(pieces).toString("utf8") }),
        );
      });
      sent.on("timeout", () => sent.destroy(new Error(`no answer in 20 s: ${method} ${target}`)));
      sent.on("error", reject);
      sent.end(body ?? undefined);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The JSON schema of an answer by its status: undefined where the document has no such status, null where it has no body. */
export function answerSchema(document: OpenApiObject, operation: ApiOperation, status: number): JsonSchema | null | undefined {
  const response = operation.responses[String(status)];
  if (response === undefined) return undefined;
  const own = "$ref" in response ? document.components.responses[response.$ref.replace(/.*\//, "")] : response;
  return own?.content?.["application/json"]?.schema ?? null;
}

/** What is wrong with an answer, by the document; empty where nothing is. */
export function faultsOf(document: OpenApiObject, check: SchemaCheck, call: ApiCall, answer: ApiAnswer): string[] {
  const { status, headers, text } = answer;
  const faults: string[] = [];
  if (status >= 500) faults.push(`answered ${status}`);
  // An odd address may lead to a page.
  const isOfApi = call.operation !== null || new URL(`http://edge${call.target}`).pathname.startsWith("/api/v1/");
  if (isOfApi && typeof headers["x-request-id"] !== "string") faults.push("no X-Request-Id");
  const known = call.operation === null ? undefined : answerSchema(document, call.operation, status);
  if (call.operation !== null && known === undefined) faults.push(`status ${status} is not in the document`);
  if (known === null && text !== "") faults.push("a body where the document has none");
  const schema = known === undefined && status >= 400 && isOfApi ? { $ref: "#/components/schemas/Error" } : known;
  if (schema && call.method !== "HEAD") faults.push(...bodyFaults(check, schema, answer));
  if (call.isValid === false && status < 400) faults.push(`takes what the document does not: ${status}`);
  const isRefused = call.isValid === true && [400, 401, 403, 413, 415].includes(status);
  // A cursor may be of the same list in another order.
  if (isRefused && !text.includes('"invalid_cursor"')) faults.push(`refuses what the document takes: ${status} ${text}`);
  return faults;
}

function bodyFaults(check: SchemaCheck, schema: JsonSchema, { status, headers, text }: ApiAnswer): string[] {
  const type = String(headers["content-type"] ?? "");
  if (!/^application\/json\b/.test(type)) return [`not JSON: ${type}`];
  const body = JSON.parse(text) as { request_id?: string };
  const faults = check.problems(schema, body).map((problem) => `by the schema: ${problem}`);
  if (status >= 400 && body.request_id !== undefined && body.request_id !== headers["x-request-id"])
    faults.push("another request id in the body");
  return faults;
}
