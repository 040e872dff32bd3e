/** A parsed address, as `URL` has it. */
export interface TargetParts {
  protocol: string;
  username: string;
  password: string;
  /** Lower-case; IPv6 in brackets. */
  hostname: string;
  /** Empty for the protocol's own. */
  port: string;
  hash: string;
}

/** What stands in for a host: a name of a machine or network of its own, this machine, an address, or a name to look up. */
export type HostKind = "internal" | "localhost" | "address" | "name";

/** Names that mean something else in each network. rfc6761, rfc6762, rfc8375, and what routers and clouds use. */
const INTERNAL_SUFFIXES = ["local", "internal", "intranet", "private", "lan", "home", "corp", "localdomain", "home.arpa", "onion"];

/** What kind of host a URL names. `URL` has turned every spelling of an IPv4 address into dotted decimals before. */
export function classifyHost(hostname: string): HostKind {
  if (hostname.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(hostname)) return "address";
  const name = hostname.replace(/\.$/, "");
  const labels = name.split(".");
  if (labels.at(-1) === "localhost") return "localhost";
  if (labels.length < 2 || labels.includes("")) return "internal";
  return INTERNAL_SUFFIXES.some((suffix) => name.endsWith(`.${suffix}`)) ? "internal" : "name";
}

/**
 * What is wrong with an address that deliveries shall go to, whatever its host; null where nothing is.
 *
 * @param isLoopback its host is this machine, and that is allowed here: without TLS then, and at any port
 */
export function findTargetFault({ protocol, username, password, port, hash }: TargetParts, isLoopback: boolean): string | null {
  if (protocol !== "https:" && !(isLoopback && protocol === "http:")) return "it must begin with https://";
  if (username !== "" || password !== "") return "it must hold no user name or password";
  if (hash !== "") return "it must hold no #fragment";
  if (port === "0" || (!isLoopback && port !== "" && Number(port) < 1024)) return "its port must be 443, or 1024 and above";
  return null;
}
