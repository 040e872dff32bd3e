import { encodeCrockford } from "../../domain/crockford.ts";
import type { Visitor } from "../../domain/protocol/audience.ts";
import type { StreamId } from "../../domain/stream-id.ts";
import type { Millis } from "../../domain/time.ts";
import { Recent } from "../recent.ts";
import { networkOf } from "./client-address.ts";
import { deviceOf, playerAgentOf } from "./user-agent.ts";

const DAY_MS: Millis = 86_400_000;
const KNOWN_MS: Millis = 600_000;
/** 80 bits: two addresses of one stream and day do not meet. */
const ADDRESS_BYTES = 10;

/** What was computed a moment ago. It holds addresses, and never leaves this isolate's memory. */
const addresses = new Recent<string>(KNOWN_MS);
const players = new Recent<number>(KNOWN_MS);
const keys = new Recent<CryptoKey>(KNOWN_MS);

/** Who asks. What identifies the client is hashed with this deployment's first `ID_SECRET`, the stream and the UTC day. */
export async function identifyVisitor(env: { ID_SECRET: string }, stream: StreamId, request: Request): Promise<Visitor> {
  const userAgent = request.headers.get("User-Agent") ?? "";
  const network = networkOf(request.headers.get("CF-Connecting-IP"));
  const now = Date.now();
  const country = request.cf?.country;
  const [address, player, nextPlayer] = await Promise.all([
    network === null ? null : addressKey(env.ID_SECRET, stream, network, dayOf(now)),
    playerKey(env.ID_SECRET, stream, network, userAgent, dayOf(now)),
    playerKey(env.ID_SECRET, stream, network, userAgent, dayOf(now + DAY_MS)),
  ]);
  return { address, player, nextPlayer, device: deviceOf(userAgent), country: isCountry(country) ? country : null };
}

/** The `player` of a visitor alone. Where there is no address, as in a local run, the user agent tells players apart. */
export function identifyPlayer(env: { ID_SECRET: string }, stream: StreamId, request: Request): Promise<number> {
  const network = networkOf(request.headers.get("CF-Connecting-IP"));
  return playerKey(env.ID_SECRET, stream, network, request.headers.get("User-Agent") ?? "", dayOf(Date.now()));
}

async function addressKey(secrets: string, stream: StreamId, network: string, day: string): Promise<string> {
  const text = `address ${day} ${stream} ${network}`;
  const known = addresses.get(secrets + text);
  if (known !== undefined) return known;
  const key = encodeCrockford((await sign(secrets, text)).subarray(0, ADDRESS_BYTES));
  addresses.set(secrets + text, key);
  return key;
}

async function playerKey(secrets: string, stream: StreamId, network: string | null, userAgent: string, day: string): Promise<number> {
  const text = `player ${day} ${stream} ${network ?? "loopback"} ${playerAgentOf(userAgent)}`;
  const known = players.get(secrets + text);
  if (known !== undefined) return known;
  const { buffer } = await sign(secrets, text);
  const key = Number(new DataView(buffer).getBigUint64(0) >> 12n);
  players.set(secrets + text, key);
  return key;
}

async function sign(secrets: string, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const key = keys.get(secrets) ?? (await importKey(secrets));
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(`visitor ${text}`)));
}

async function importKey(secrets: string): Promise<CryptoKey> {
  const [first = ""] = secrets.split(",").flatMap((secret) => secret.trim() || []);
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(first), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  keys.set(secrets, key);
  return key;
}

function dayOf(at: Millis): string {
  return new Date(at).toISOString().slice(0, 10);
}

/** Cloudflare says `XX` where it does not know, and `T1` for Tor. */
function isCountry(country: unknown): country is string {
  return typeof country === "string" && /^[A-Z]{2}$/.test(country) && country !== "XX";
}
