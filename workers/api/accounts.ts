import { createRoute, z } from "@hono/zod-openapi";
import { encodeCrockford } from "../../domain/crockford.ts";
import { NovaError } from "../../domain/errors.ts";
import {
  AccountList,
  AccountResource,
  CreateAccount,
  CreateApiKey,
  CreatedApiKey,
  ListPage,
  Me,
} from "../../domain/protocol/api/accounts.ts";
import { isoTime } from "../../domain/time.ts";
import { type AccountRow, Accounts } from "../store/accounts.ts";
import { randomBytes } from "../store/tokens.ts";
import { authorOf } from "./access.ts";
import { createKeyOf } from "./api-keys.ts";
import { IDEMPOTENCY_REFUSALS, IdempotencyKey } from "./idempotency.ts";
import { answer, authenticated, authorized, type DocumentedHeaders, jsonBody, refusals } from "./operation.ts";
import { decodePageCursor, pageOf } from "./page-cursor.ts";
import { createRouter } from "./router.ts";

const tags = ["Accounts"];
const ID_BYTES = 10;
const AccountParams = z.object({ account_id: z.string().meta({ description: "The account's id", example: "acc_7k2m9qx4v8n3p5r1" }) });
const headers = z.object(IdempotencyKey);

const LOCATION: DocumentedHeaders = {
  Location: { description: "Where the account is", schema: { type: "string" }, example: "/api/v1/accounts/acc_7k2m9qx4v8n3p5r1" },
};

const me = createRoute({
  ...{ method: "get", path: "/me", tags, operationId: "getMe", ...authenticated() },
  summary: "Who am I",
  description: "The account and the scopes of the key or token that the request was sent with. Any valid one will do.",
  responses: { 200: answer(Me, "The caller"), ...refusals() },
});

const create = createRoute({
  ...{ method: "post", path: "/accounts", tags, operationId: "createAccount", ...authorized("admin") },
  summary: "Create an account",
  description: "For another broadcaster, who sees nothing of the others'. It has no key yet: create one next.",
  request: { headers, body: jsonBody(CreateAccount) },
  responses: {
    201: answer(AccountResource, "The account", LOCATION),
    ...refusals("invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

const list = createRoute({
  ...{ method: "get", path: "/accounts", tags, operationId: "listAccounts", ...authorized("admin") },
  summary: "List accounts",
  description: "All of the deployment, the newest first. Those of outside issuers' tokens begin with `jwt_`.",
  request: { query: ListPage },
  responses: { 200: answer(AccountList, "A page of accounts"), ...refusals("invalid_cursor") },
});

const get = createRoute({
  ...{ method: "get", path: "/accounts/{account_id}", tags, operationId: "getAccount", ...authorized("admin") },
  summary: "Get an account",
  description: "Its name, and since when it exists.",
  request: { params: AccountParams },
  responses: { 200: answer(AccountResource, "The account"), ...refusals("account_not_found") },
});

const createKey = createRoute({
  ...{ method: "post", path: "/accounts/{account_id}/api-keys", tags, operationId: "createAccountApiKey", ...authorized("admin") },
  summary: "Create an API key of an account",
  description: "The key is shown this once: hand it to the broadcaster. With `keys:write` they make further ones themselves.",
  request: { params: AccountParams, headers, body: jsonBody(CreateApiKey) },
  responses: {
    201: answer(CreatedApiKey, "The key"),
    ...refusals("account_not_found", "too_many_keys", "invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

/** The deployment's accounts, `/api/v1/accounts`, for administrators; and `/api/v1/me`, for everybody. */
export const accounts = createRouter()
  .openapi(me, async (c) => {
    const { accountId, scopes, credential, keyId } = c.get("caller");
    const account = describeAccount(await findAccount(c.env, accountId));
    return c.json({ account, scopes: [...scopes], credential, key_id: keyId }, 200);
  })
  .openapi(create, async (c) => {
    const id = `acc_${encodeCrockford(randomBytes(ID_BYTES))}`;
    const { name } = c.req.valid("json");
    const row = await new Accounts(c.env.DB).create({ id, name }, authorOf(c), Date.now());
    return c.json(describeAccount(row), 201, { Location: `/api/v1/accounts/${id}` });
  })
  .openapi(list, async (c) => {
    const { limit, cursor } = c.req.valid("query");
    const { page, next_cursor } = pageOf(await new Accounts(c.env.DB).list(decodePageCursor(cursor), limit + 1), limit);
    return c.json({ accounts: page.map(describeAccount), next_cursor }, 200);
  })
  .openapi(get, async (c) => c.json(describeAccount(await findAccount(c.env, c.req.valid("param").account_id)), 200))
  .openapi(createKey, async (c) => {
    const { id } = await findAccount(c.env, c.req.valid("param").account_id);
    return c.json(await createKeyOf(c, id, c.req.valid("json")), 201);
  });

async function findAccount(env: Env, id: string): Promise<AccountRow> {
  const account = await new Accounts(env.DB).find(id);
  if (account === null) throw new NovaError(404, "account_not_found", "no such account: check the id");
  return account;
}

function describeAccount({ id, name, createdAt }: AccountRow): AccountResource {
  return { id, name, created_at: isoTime(createdAt) };
}
