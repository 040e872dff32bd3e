import { isIP } from "node:net";

/** Ends of names that nobody can register on the internet. */
const PRIVATE_SUFFIXES = [".localhost", ".local", ".internal"];

/**
 * Whether a `Host` header names this server as somebody on its own network would: by an address, a name without a dot, or one that only
 * private networks have. A page of the internet that lets its own name lead here (DNS rebinding) has another. No browser leaves the header
 * out, as a balancer's check in HTTP/1.0 does.
 */
export function isPrivateHost(header: string | undefined, ownHost: string): boolean {
  if (header === undefined) return true;
  const name = hostname(header);
  if (name === null) return false;
  if (isIP(name) !== 0 || !name.includes(".")) return true;
  return name === ownHost.toLowerCase() || PRIVATE_SUFFIXES.some((suffix) => name.endsWith(suffix));
}

/** The name or address without its port; null where it is neither. */
function hostname(header: string): string | null {
  if (!URL.canParse(`http://${header}/`)) return null;
  const { hostname: name, username, pathname, search } = new URL(`http://${header}/`);
  if (name === "" || username !== "" || pathname !== "/" || search !== "") return null;
  return name.replace(/^\[|\]$/g, "");
}
