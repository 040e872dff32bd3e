import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import { concatBytes } from "../domain/bytes.ts";
import { NovaError } from "../domain/errors.ts";
import { describeFaults, type InputFault } from "../domain/protocol/api/input-faults.ts";
import type { ErrorBody } from "../domain/protocol/api/refusals.ts";
import type { StreamId } from "../domain/stream-id.ts";
import { rootOf } from "../durable-objects/audience/members.ts";
import type { LiveStream } from "../durable-objects/live-stream/live-stream.ts";
import { redactPath } from "./playback/playback-token.ts";
import { Recent } from "./recent.ts";
import { streamIdsOf } from "./store/tokens.ts";

/** What every surface's routes have: the bindings, and an id to find the request by. */
export interface Surface {
  Bindings: Env;
  Variables: { requestId: string };
}

/** Reads untrusted input by a schema. Throws 400 `invalid_request` that names each field and what is wrong with it. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw invalidRequest(result.error.issues);
}

/** The refusal of input that its schema does not take: 400 `invalid_request`. */
export function invalidRequest(issues: readonly z.core.$ZodIssue[]): NovaError {
  return invalidFields(describeFaults(issues));
}

/** The refusal of input that is wrong in these fields: 400 `invalid_request`. */
export function invalidFields(details: readonly InputFault[]): NovaError {
  const [first] = details;
  const message = first === undefined ? "invalid input" : `${first.field || "input"}: ${first.message}`;
  return new NovaError(400, "invalid_request", message, details);
}

/** A JSON body by a schema. Throws 413 `body_too_large` over `maxBytes`, 400 `invalid_json`, 400 `invalid_request`. */
export async function readJson<Schema extends z.ZodType>(request: Request, schema: Schema, maxBytes = 65_536): Promise<z.output<Schema>> {
  return parseInput(schema, parseJson(await readBody(request, maxBytes)));
}

/** What a body's bytes say. Throws 400 `invalid_json`. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch {
    throw new NovaError(400, "invalid_json", "the body is not valid JSON");
  }
}

/** A whole body. Throws 413 `body_too_large` where it is longer than `maxBytes`, or says so. */
export async function readBody(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () => new NovaError(413, "body_too_large", `the body is larger than ${maxBytes} bytes`);
  const declared = request.headers.get("Content-Length");
  if (Number(declared ?? 0) > maxBytes) throw tooLarge();
  // A body of a declared length is read at once by the runtime: piece by piece it would cost a turn of the isolate each.
  if (declared !== null && /^\d+$/.test(declared) && !request.headers.has("Transfer-Encoding")) {
    const bytes = new Uint8Array(await request.arrayBuffer());
    if (bytes.length > maxBytes) throw tooLarge();
    return bytes;
  }
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of request.body ?? []) {
    size += piece.length;
    if (size > maxBytes) throw tooLarge();
    pieces.push(piece);
  }
  return concatBytes(pieces);
}

/** Proofs that were made a moment ago: a viewer of one stream asks eight times a second. */
const provenIds = new Recent<StreamId>(60_000);

/** Proves an id from a URL. Throws 404 `stream_not_found` without asking anybody. */
export async function proveStreamId(env: Env, text: string): Promise<StreamId> {
  const key = `${env.ID_SECRET} ${text}`;
  const known = provenIds.get(key);
  if (known !== undefined) return known;
  const id = await streamIdsOf(env).parse(text);
  if (id === null) throw new NovaError(404, "stream_not_found", "no such stream: check the id");
  provenIds.set(key, id);
  return id;
}

/** The object of a proven stream. */
export function liveStream(env: Env, id: StreamId): DurableObjectStub<LiveStream> {
  return rootOf(env, id);
}

/** How long to wait after a refusal, seconds: limits count by the minute. */
const RETRY_AFTER_SECONDS: Partial<Record<string, number>> = { rate_limited: 60, too_many_beacons: 60, idempotency_in_progress: 1 };

/** Turns what a route throws into the error body; a fault of our own is logged and stays nameless outside. */
export function answerError(error: unknown, c: Context<Surface>): Response {
  const request_id = c.get("requestId");
  const known = error instanceof NovaError ? error : unavailable(error, c);
  const body: ErrorBody = { error: known.code, message: known.message, request_id };
  if (known.details !== undefined) body.details = known.details as ErrorBody["details"];
  const headers: Record<string, string> = {
    ...{ "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": request_id },
    ...(known.code === "unauthorized" ? { "WWW-Authenticate": "Bearer" } : {}),
  };
  const wait = RETRY_AFTER_SECONDS[known.code] ?? (known.status === 503 ? 5 : null);
  if (wait !== null) headers["Retry-After"] = String(wait);
  return c.json(body, known.status as ContentfulStatusCode, headers);
}

function unavailable(error: unknown, c: Context<Surface>): NovaError {
  // A query's own error names its parameters; its cause names only what went wrong.
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const text = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  // The path may hold a stream id, never a key; the query is left out, and so is a playback token.
  console.error(
    JSON.stringify({
      event: "request_failed",
      request_id: c.get("requestId"),
      method: c.req.method,
      path: redactPath(c.req.path),
      error: text,
    }),
  );
  if (/D1_ERROR|D1 DB|Network connection lost|overloaded/i.test(text)) {
    return new NovaError(503, "unavailable", "a dependency does not answer right now: try again in a few seconds");
  }
  return new NovaError(500, "internal_error", "something broke on our side: try again, and tell us the request id if it stays");
}
