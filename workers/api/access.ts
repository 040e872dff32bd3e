import { createMiddleware } from "hono/factory";
import { NovaError } from "../../domain/errors.ts";
import { isSecret, sha256Hex } from "../store/digest.ts";
import { Store } from "../store/store.ts";
import type { Surface } from "../surface.ts";

/** The account of the deployment's own administrator, made by the first migration. */
const ADMIN_ACCOUNT = "admin";

/** What a route behind `requireAccount` knows of its caller. */
export interface AccountSurface extends Surface {
  Variables: Surface["Variables"] & { accountId: string };
}

/** Lets requests with a valid `Authorization: Bearer` API key through; 401 `unauthorized` for all others. */
export const requireAccount = createMiddleware<AccountSurface>(async (c, next) => {
  const token = /^Bearer (.+)$/i.exec(c.req.header("Authorization") ?? "")?.[1]?.trim();
  if (token === undefined) throw unauthorized("send an API key: Authorization: Bearer YOUR_KEY");
  if (await isSecret(token, c.env.ADMIN_API_KEY)) {
    c.set("accountId", ADMIN_ACCOUNT);
  } else {
    const account = await new Store(c.env.DB).findAccountByApiKey(await sha256Hex(token));
    if (account === null) throw unauthorized("this API key is not valid");
    c.set("accountId", account.accountId);
  }
  await next();
});

function unauthorized(message: string): NovaError {
  return new NovaError(401, "unauthorized", message);
}
