import { NovaError } from "../../domain/errors.ts";
import type { DeliveryError } from "../../domain/protocol/api/webhooks.ts";
import { classifyHost, findTargetFault } from "../../domain/webhooks/target-rules.ts";
import { lookUpName } from "./name-lookup.ts";
import { isLoopbackAddress, isPublicAddress } from "./public-address.ts";

/** How long a URL may be as it is kept, characters. */
const MAX_URL = 2048;

/** What decides where deliveries may go. */
export interface TargetEnv {
  /** The resolver: DNS over HTTPS that answers JSON. */
  DNS_URL: string;
  /** "true" lets them go to this machine, and without TLS: for local runs. */
  WEBHOOK_ALLOW_LOOPBACK: string;
}

/** Why deliveries may not go to an address, or cannot be said to. */
export interface TargetRefusal {
  error: DeliveryError;
  /** For people. */
  reason: string;
}

/** Why deliveries may not go to a URL, its name looked up now; null where they may. */
export async function findTargetRefusal(env: TargetEnv, text: string): Promise<TargetRefusal | null> {
  const url = URL.parse(text);
  if (url === null) return { error: "url_not_allowed", reason: "it is not an absolute URL" };
  const { hostname } = url;
  const kind = classifyHost(hostname);
  const address = hostname.replace(/^\[|\]$/g, "");
  const isLoopback = env.WEBHOOK_ALLOW_LOOPBACK === "true" && (kind === "localhost" || (kind === "address" && isLoopbackAddress(address)));
  const fault = findTargetFault(url, isLoopback);
  if (fault !== null) return { error: "url_not_allowed", reason: fault };
  if (isLoopback) return null;
  if (kind === "address") return isPublicAddress(address) ? null : notPublic("its address is not a public one");
  if (kind !== "name") return notPublic("its host is a name of a private network: use one that the whole internet knows");
  const addresses = await lookUpName(env.DNS_URL, hostname);
  if (addresses === null) return { error: "lookup_failed", reason: "its name could not be looked up" };
  if (addresses.length === 0) return { error: "name_not_found", reason: "its name does not resolve" };
  return addresses.every(isPublicAddress) ? null : notPublic("its name leads to an address that is not public");
}

function notPublic(reason: string): TargetRefusal {
  return { error: "address_not_public", reason };
}

/**
 * The same for whoever sets a webhook: the URL as it is kept. Throws 400 `url_not_allowed`. Where the resolver is away the URL is taken: its name
 * is looked up before each attempt.
 */
export async function proveTarget(env: TargetEnv, text: string): Promise<string> {
  // Its one spelling may be several times as long: what is no ASCII takes up to nine characters for one there.
  if ((URL.parse(text)?.href.length ?? 0) > MAX_URL) {
    throw new NovaError(400, "url_not_allowed", `url: it must have ${MAX_URL} characters at most, other than ASCII written as %XX`);
  }
  const refusal = await findTargetRefusal(env, text);
  if (refusal === null || refusal.error === "lookup_failed") return new URL(text).href;
  throw new NovaError(400, "url_not_allowed", `url: ${refusal.reason}`);
}
