import { z } from "@hono/zod-openapi";
import type { Context, Next } from "hono";
import { NovaError } from "../../domain/errors.ts";
import type { RefusalCode } from "../../domain/protocol/api/refusals.ts";
import type { Millis } from "../../domain/time.ts";
import { sha256Hex } from "../store/digest.ts";
import { Idempotency, type IdempotencyId } from "../store/idempotency.ts";
import { seal, unseal } from "../store/sealed.ts";
import { invalidFields } from "../surface.ts";
import type { ApiSurface, Caller } from "./access.ts";

const MAX_KEY_LENGTH = 255;

/** The header that makes a POST safe to repeat, for an operation's `request.headers`. */
export const IdempotencyKey = {
  "Idempotency-Key": z.string().min(1).max(MAX_KEY_LENGTH).optional().meta({
    description:
      "Chosen by the client, such as a UUID. A request that is repeated with the same key within 24 hours is carried out once, and gets the same answer with `Idempotency-Replayed: true`",
    example: "8e03978e-40d5-43dd-bc93-6894a57f9324",
  }),
};

/** The refusals of an operation that takes the header. */
export const IDEMPOTENCY_REFUSALS = ["idempotency_mismatch", "idempotency_in_progress"] as const satisfies readonly RefusalCode[];

/** The headers of an answer that are told again. */
const KEPT_HEADERS = ["Content-Type", "Location", "ETag"];
/** Refusals that may pass: of who asks, of how things stand, of how often. Nothing was done, so the same request may be tried again. */
const PASSING = new Set([401, 403, 408, 409, 412, 429]);

interface Answer {
  body: string;
  headers: [name: string, value: string][];
}

/**
 * Carries a POST with an `Idempotency-Key` out once: a repetition gets the answer of the first one. Throws 422 `idempotency_mismatch` for
 * another request with the same key, 409 `idempotency_in_progress` while the first one runs.
 */
export async function answerOnce(c: Context<ApiSurface>, caller: Caller, next: Next): Promise<Response | undefined> {
  const key = c.req.method === "POST" ? c.req.header("Idempotency-Key") : undefined;
  if (key === undefined) {
    await next();
    return;
  }
  if (!/^[\x20-\x7e]+$/.test(key) || key.length > MAX_KEY_LENGTH) throw invalidKey();
  const kept = new Idempotency(c.env.DB);
  // Another credential of the account must not be told what this one was: an answer may hold a key that is shown once.
  const id = { accountId: caller.accountId, digest: await sha256Hex(JSON.stringify([caller.actor, key])) };
  const requestDigest = await digestOf(c, caller);
  const begunAt = Date.now();
  const earlier = await kept.begin(id, requestDigest, begunAt);
  if (earlier === null) {
    const work = carryOut(c, kept, id, begunAt, next);
    // Also where the client has gone: it will come back and ask.
    c.executionCtx.waitUntil(work.catch(() => undefined));
    await work;
    return;
  }
  if (earlier.requestDigest !== requestDigest) throw mismatch("this Idempotency-Key was used for another request: choose a new one");
  if (earlier.state === "running") {
    throw new NovaError(409, "idempotency_in_progress", "a request with this Idempotency-Key is being carried out: try again in a second");
  }
  const answer = await unseal(c.env, contextOf(id), earlier.answer);
  if (answer === null) throw mismatch("the answer to this Idempotency-Key cannot be read any more: choose a new one");
  const { body, headers } = JSON.parse(answer) as Answer;
  return new Response(body === "" ? null : body, { status: earlier.status, headers: [...headers, ["Idempotency-Replayed", "true"]] });
}

async function carryOut(c: Context<ApiSurface>, kept: Idempotency, id: IdempotencyId, begunAt: Millis, next: Next): Promise<void> {
  await next();
  const { status, headers } = c.res;
  if (status >= 500 || PASSING.has(status)) return logged(kept.free(id, begunAt));
  const answer: Answer = {
    body: await c.res.clone().text(),
    headers: KEPT_HEADERS.flatMap((name) => {
      const value = headers.get(name);
      return value === null ? [] : [[name, value] as [string, string]];
    }),
  };
  const sealed = await seal(c.env, contextOf(id), JSON.stringify(answer));
  // What is done is done: the answer goes out also where it could not be kept.
  await logged(kept.keep(id, begunAt, status, sealed).catch(() => kept.keep(id, begunAt, status, sealed)));
}

async function logged(work: Promise<void>): Promise<void> {
  await work.catch(() => console.error(JSON.stringify({ event: "idempotency_not_kept" })));
}

/** The same key for another method, address, body, or with other rights is another request. */
async function digestOf(c: Context<ApiSurface>, { scopes }: Caller): Promise<string> {
  const { pathname, search } = new URL(c.req.url);
  const body = await sha256Hex(new Uint8Array(await c.req.raw.clone().arrayBuffer()));
  return sha256Hex(JSON.stringify([c.req.method, pathname + search, body, [...scopes].sort()]));
}

function contextOf({ accountId, digest }: IdempotencyId): string {
  return `idempotency:${accountId}:${digest}`;
}

function invalidKey(): NovaError {
  const message = `1 to ${MAX_KEY_LENGTH} printable ASCII characters`;
  return invalidFields([{ field: "Idempotency-Key", message }]);
}

function mismatch(message: string): NovaError {
  return new NovaError(422, "idempotency_mismatch", message);
}
