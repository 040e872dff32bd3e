import { NovaError } from "../../domain/errors.ts";
import { networkOf } from "../audience/client-address.ts";

/** Counts a request without a valid credential against its address. Throws 429 `rate_limited` where the address has had its share. */
export async function limitAddress(env: Env, request: Request): Promise<void> {
  // A local run sees no addresses: all of its clients are one.
  const network = networkOf(request.headers.get("CF-Connecting-IP")) ?? "loopback";
  if (await isOver(env.ADDRESS_LIMIT, network)) throw rateLimited("too many requests without a valid key from your address");
}

/** Counts a request against a credential. Throws 429 `rate_limited` where it has had its share. */
export async function limitKey(env: Env, credential: string): Promise<void> {
  if (await isOver(env.KEY_LIMIT, credential)) throw rateLimited("too many requests with this key");
}

async function isOver(limit: RateLimit, key: string): Promise<boolean> {
  try {
    return !(await limit.limit({ key })).success;
  } catch {
    // A limiter that does not answer stops nobody.
    return false;
  }
}

function rateLimited(what: string): NovaError {
  return new NovaError(429, "rate_limited", `${what}: wait a minute`);
}
