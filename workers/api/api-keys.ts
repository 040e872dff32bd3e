import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import type { Scope } from "../../domain/protocol/api/access.ts";
import {
  ApiKeyList,
  ApiKeyResource,
  CreateApiKey,
  CreatedApiKey,
  ListPage,
  MAX_API_KEYS,
  RotateApiKey,
} from "../../domain/protocol/api/accounts.ts";
import { isoTime, isoTimeOrNull, type Millis } from "../../domain/time.ts";
import { ADMIN_ACCOUNT } from "../store/accounts.ts";
import { mintApiKey } from "../store/api-key-tokens.ts";
import { type ApiKeyRow, ApiKeys } from "../store/api-keys.ts";
import { invalidFields } from "../surface.ts";
import { type ApiSurface, authorOf, hasScope } from "./access.ts";
import { IDEMPOTENCY_REFUSALS, IdempotencyKey } from "./idempotency.ts";
import { alreadyRevoked, keyStatus, parseExpiry, rotationRefusal } from "./key-state.ts";
import { answer, authorized, jsonBody, refusals } from "./operation.ts";
import { decodePageCursor, pageOf } from "./page-cursor.ts";
import { createRouter } from "./router.ts";

const tags = ["API keys"];
const KeyParams = z.object({
  key_id: z.string().meta({ description: "The key's id", format: "uuid", example: "5b8d3c1e-7a44-4a0b-9c53-1f0f6e2d9a71" }),
});
const headers = z.object(IdempotencyKey);

const create = createRoute({
  ...{ method: "post", path: "/api-keys", tags, operationId: "createApiKey", ...authorized("keys:write") },
  summary: "Create an API key",
  description: `Of the caller's own account, with scopes that the caller has; \`admin\` only in the administrator's account. At most ${MAX_API_KEYS} keys of an account are valid at once. The key is shown this once.`,
  request: { headers, body: jsonBody(CreateApiKey) },
  responses: {
    201: answer(CreatedApiKey, "The key"),
    ...refusals("too_many_keys", "invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

const list = createRoute({
  ...{ method: "get", path: "/api-keys", tags, operationId: "listApiKeys", ...authorized("keys:write") },
  summary: "List API keys",
  description: "Of the caller's own account, the newest first, also those that are not valid any more. No key itself is in it.",
  request: { query: ListPage },
  responses: { 200: answer(ApiKeyList, "A page of keys"), ...refusals("invalid_cursor") },
});

const get = createRoute({
  ...{ method: "get", path: "/api-keys/{key_id}", tags, operationId: "getApiKey", ...authorized("keys:write") },
  summary: "Get an API key",
  description: "What it may do, and when it was last used. The key itself is not in it.",
  request: { params: KeyParams },
  responses: { 200: answer(ApiKeyResource, "The key"), ...refusals("key_not_found") },
});

const rotate = createRoute({
  ...{ method: "post", path: "/api-keys/{key_id}/rotate", tags, operationId: "rotateApiKey", ...authorized("keys:write") },
  summary: "Rotate an API key",
  description:
    "Makes a new key with the same name and scopes, that lasts as long as the old one was made for. The old one is valid for `overlap_seconds` more. Once: from then on its successor can be rotated. A key that somebody else has seen is better revoked.",
  request: { params: KeyParams, headers, body: jsonBody(RotateApiKey) },
  responses: {
    201: answer(CreatedApiKey, "The new key"),
    ...refusals(
      "key_not_found",
      "already_revoked",
      "already_rotated",
      "key_expired",
      "too_many_keys",
      "invalid_json",
      "body_too_large",
      ...IDEMPOTENCY_REFUSALS,
    ),
  },
});

const revoke = createRoute({
  ...{ method: "delete", path: "/api-keys/{key_id}", tags, operationId: "revokeApiKey", ...authorized("keys:write") },
  summary: "Revoke an API key",
  description: "At once and for good. A key can revoke itself.",
  request: { params: KeyParams },
  responses: { 204: { description: "Revoked" }, ...refusals("key_not_found", "already_revoked", "invalid_json", "body_too_large") },
});

/** The API keys of the caller's account, `/api/v1/api-keys`. */
export const apiKeys = createRouter()
  .openapi(create, async (c) => c.json(await createKeyOf(c, c.get("caller").accountId, c.req.valid("json")), 201))
  .openapi(list, async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const rows = await new ApiKeys(c.env.DB).list(c.get("caller").accountId, decodePageCursor(cursor), limit + 1);
    const { page, next_cursor } = pageOf(rows, limit);
    return c.json({ keys: page.map((row) => describeKey(row, Date.now())), next_cursor }, 200);
  })
  .openapi(get, async (c) => c.json(describeKey(await findOwnKey(c), Date.now()), 200))
  .openapi(rotate, async (c) => {
    const old = await findOwnKey(c);
    assertMayGive(c, old.scopes);
    const now = Date.now();
    const refusal = rotationRefusal(old, now);
    if (refusal !== null) throw refusal;
    const { key, ...kept } = await mintApiKey(c.env);
    const expiresAt = old.expiresAt === null ? null : now + (old.expiresAt - old.createdAt);
    const fresh = { name: old.name, scopes: old.scopes, expiresAt, ...kept };
    const overlapUntil = now + c.req.valid("json").overlap_seconds * 1000;
    const keys = new ApiKeys(c.env.DB);
    const row = await keys.rotate(old, fresh, overlapUntil, authorOf(c), now);
    if (row !== null) return c.json({ ...describeKey(row, now), key }, 201);
    // Somebody else may have been faster.
    throw rotationRefusal(await findOwnKey(c), now) ?? tooManyKeys();
  })
  .openapi(revoke, async (c) => {
    const key = await findOwnKey(c);
    if (!(await new ApiKeys(c.env.DB).revoke(key, authorOf(c), Date.now()))) throw alreadyRevoked();
    return c.body(null, 204);
  });

/** Makes a key of an account, on behalf of the caller. */
export async function createKeyOf(c: Context<ApiSurface>, accountId: string, { name, scopes, expires_at }: CreateApiKey) {
  assertMayGive(c, scopes);
  if (scopes.includes("admin") && accountId !== ADMIN_ACCOUNT) {
    throw invalidFields([{ field: "scopes", message: "only keys of the administrator's account can have admin" }]);
  }
  const now = Date.now();
  const expiresAt = parseExpiry(expires_at, now);
  const { key, ...kept } = await mintApiKey(c.env);
  const row = await new ApiKeys(c.env.DB).add({ name, scopes, expiresAt, ...kept }, { ...authorOf(c), accountId }, now);
  if (row === null) throw tooManyKeys();
  return { ...describeKey(row, now), key };
}

/** Nobody makes a key that may do more than they may. */
function assertMayGive(c: Context<ApiSurface>, scopes: readonly Scope[]): void {
  const missing = scopes.filter((scope) => !hasScope(c.get("caller"), scope));
  if (missing.length > 0)
    throw new NovaError(403, "forbidden", `this needs a key that has what the other key may do: ${missing.join(", ")}`);
}

async function findOwnKey(c: Context<ApiSurface>): Promise<ApiKeyRow> {
  const key = await new ApiKeys(c.env.DB).find(c.get("caller").accountId, c.req.param("key_id") ?? "");
  if (key === null) throw new NovaError(404, "key_not_found", "no such API key: check the id");
  return key;
}

function tooManyKeys(): NovaError {
  return new NovaError(409, "too_many_keys", `at most ${MAX_API_KEYS} keys of an account are valid at once: revoke some first`);
}

function describeKey(row: ApiKeyRow, now: Millis): ApiKeyResource {
  const { id, name, prefix, scopes, createdAt, expiresAt, lastUsedAt, revokedAt, replacedBy } = row;
  return {
    ...{ id, name, prefix, scopes, status: keyStatus(row, now) },
    created_at: isoTime(createdAt),
    expires_at: isoTimeOrNull(expiresAt),
    last_used_at: isoTimeOrNull(lastUsedAt),
    revoked_at: isoTimeOrNull(revokedAt),
    replaced_by: replacedBy,
  };
}
