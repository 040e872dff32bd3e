import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { NovaError } from "../../domain/errors.ts";
import { Scope } from "../../domain/protocol/api/access.ts";
import type { Author } from "../audit/new-event.ts";
import { Recent } from "../recent.ts";
import { Accounts, ADMIN_ACCOUNT } from "../store/accounts.ts";
import { API_KEY_PREFIX, apiKeysOf } from "../store/api-key-tokens.ts";
import { ApiKeys } from "../store/api-keys.ts";
import { isSecret, sha256Hex } from "../store/digest.ts";
import type { Surface } from "../surface.ts";
import { answerOnce } from "./idempotency.ts";
import { readJsonBody } from "./json-body.ts";
import { type OutsideCaller, verifyOutsideToken } from "./jwt.ts";
import { limitAddress, limitKey } from "./limits.ts";

/** Who calls the API. */
export interface Caller {
  accountId: string;
  scopes: readonly Scope[];
  /** As events name it: `key:{id}`, `jwt:{subject}`, `admin`. */
  actor: string;
  credential: "admin_key" | "api_key" | "jwt";
  /** Null where the credential is no API key. */
  keyId: string | null;
}

/** What a route behind `requireScope` knows. */
export interface ApiSurface extends Surface {
  Variables: Surface["Variables"] & { caller: Caller };
}

/** Lets callers through whose key has a scope; 401 `unauthorized` without a valid key, 403 `forbidden` without the scope. */
export function requireScope(scope: Scope) {
  return requireCaller((caller) => {
    if (hasScope(caller, scope)) return;
    throw new NovaError(403, "forbidden", `this needs a key with the scope ${scope}`);
  });
}

/**
 * Lets callers through that `check` does not refuse. Then their JSON body is read, and a request with an `Idempotency-Key` is carried out
 * once: only for those who may do it.
 */
export function requireCaller(check: (caller: Caller) => void = () => {}) {
  return createMiddleware<ApiSurface>(async (c, next) => {
    const caller = await identifyCaller(c);
    check(caller);
    c.set("caller", caller);
    await readJsonBody(c);
    return answerOnce(c, caller, next);
  });
}

/** Whether a caller may do what needs a scope. */
export function hasScope({ scopes }: Caller, scope: Scope): boolean {
  return scopes.includes(scope) || scopes.includes("admin");
}

async function identifyCaller(c: Context<ApiSurface>): Promise<Caller> {
  const token = /^Bearer (.+)$/i.exec(c.req.header("Authorization") ?? "")?.[1]?.trim();
  const caller = token === undefined ? null : await findCaller(c, token);
  if (caller !== null) return caller;
  await limitAddress(c.env, c.req.raw);
  throw new NovaError(401, "unauthorized", wordsFor(token));
}

function wordsFor(token: string | undefined): string {
  if (token === undefined) return "send an API key: Authorization: Bearer YOUR_KEY";
  return token.split(".").length === 3 ? "this token is not valid: check it, or send an API key" : "this API key is not valid";
}

/** What costs nothing comes first: a credential that was made up reaches neither D1 nor the outside issuer. */
async function findCaller(c: Context<ApiSurface>, token: string): Promise<Caller | null> {
  if (await isSecret(token, c.env.ADMIN_API_KEY)) {
    return { accountId: ADMIN_ACCOUNT, scopes: Scope.options, actor: "admin", credential: "admin_key", keyId: null };
  }
  if (token.startsWith(API_KEY_PREFIX)) return findKeyCaller(c, token);
  if (token.split(".").length === 3) return findOutsideCaller(c, token);
  return null;
}

async function findKeyCaller(c: Context<ApiSurface>, token: string): Promise<Caller | null> {
  if (!(await apiKeysOf(c.env).verify(token))) return null;
  const digest = await sha256Hex(token);
  await limitKey(c.env, `key:${digest}`);
  const keys = new ApiKeys(c.env.DB);
  const now = Date.now();
  const key = await keys.findValid(digest, now);
  if (key === null) return null;
  c.executionCtx.waitUntil(
    keys.noteUse(key, now).catch(() => console.warn(JSON.stringify({ event: "key_use_not_noted", key_id: key.id }))),
  );
  return { accountId: key.accountId, scopes: key.scopes, actor: `key:${key.id}`, credential: "api_key", keyId: key.id };
}

/** Accounts of the outside issuer that are known to exist. */
const knownAccounts = new Recent<true>(600_000);

async function findOutsideCaller(c: Context<ApiSurface>, token: string): Promise<Caller | null> {
  const outside = await verifyOutsideToken(c.env, token).catch(async (refusal: unknown) => {
    // Any token in the right form can be answered so, a made-up one too: as often as the address may ask without a credential.
    await limitAddress(c.env, c.req.raw);
    throw refusal;
  });
  if (outside === null) return null;
  await limitKey(c.env, outside.accountId);
  const actor = `jwt:${outside.subject}`;
  await ensureAccount(c, outside, actor);
  return { accountId: outside.accountId, scopes: outside.scopes, actor, credential: "jwt", keyId: null };
}

async function ensureAccount(c: Context<ApiSurface>, { accountId, accountName }: OutsideCaller, actor: string): Promise<void> {
  if (knownAccounts.get(accountId) !== undefined) return;
  await new Accounts(c.env.DB).create({ id: accountId, name: accountName }, { actor, requestId: c.get("requestId") }, Date.now());
  knownAccounts.set(accountId, true);
}

/** On whose behalf a request changes something. */
export function authorOf(c: Context<ApiSurface>): Author {
  const { accountId, actor } = c.get("caller");
  return { accountId, actor, requestId: c.get("requestId") };
}
