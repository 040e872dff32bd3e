import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { NovaError } from "../../domain/errors.ts";
import { Scope } from "../../domain/protocol/api/access.ts";
import type { Author } from "../audit/new-event.ts";
import { Accounts } from "../store/accounts.ts";
import { isSecret, sha256Hex } from "../store/digest.ts";
import type { Surface } from "../surface.ts";

/** The account of the deployment's own administrator, made by the first migration. */
const ADMIN_ACCOUNT = "admin";

/** Who calls the API. */
export interface Caller {
  accountId: string;
  scopes: readonly Scope[];
  /** As events name it: `key:{id}`, `jwt:{subject}`, `admin`. */
  actor: string;
}

/** What a route behind `requireScope` knows. */
export interface ApiSurface extends Surface {
  Variables: Surface["Variables"] & { caller: Caller };
}

/** Lets callers through whose key has a scope; 401 `unauthorized` without a valid key, 403 `forbidden` without the scope. */
export function requireScope(scope: Scope) {
  return createMiddleware<ApiSurface>(async (c, next) => {
    const caller = await identifyCaller(c.env, c.req.header("Authorization"));
    if (!caller.scopes.includes(scope) && !caller.scopes.includes("admin")) {
      throw new NovaError(403, "forbidden", `this needs a key with the scope ${scope}`);
    }
    c.set("caller", caller);
    await next();
  });
}

async function identifyCaller(env: Env, authorization: string | undefined): Promise<Caller> {
  const token = /^Bearer (.+)$/i.exec(authorization ?? "")?.[1]?.trim();
  if (token === undefined) throw unauthorized("send an API key: Authorization: Bearer YOUR_KEY");
  if (await isSecret(token, env.ADMIN_API_KEY)) return { accountId: ADMIN_ACCOUNT, scopes: Scope.options, actor: "admin" };
  const key = await new Accounts(env.DB).findByKey(await sha256Hex(token), Date.now());
  if (key === null) throw unauthorized("this API key is not valid");
  return { accountId: key.accountId, scopes: key.scopes, actor: `key:${key.keyId}` };
}

/** On whose behalf a request changes something. */
export function authorOf(c: Context<ApiSurface>): Author {
  const { accountId, actor } = c.get("caller");
  return { accountId, actor, requestId: c.get("requestId") };
}

function unauthorized(message: string): NovaError {
  return new NovaError(401, "unauthorized", message);
}
