import type { Hmac, ProvenTokens } from "../../domain/proven-token.ts";
import { StreamIds, streamKeys } from "../../domain/stream-id.ts";
import { sha256Hex } from "./digest.ts";

/** HMAC-SHA-256 by Web Crypto. */
export const hmac: Hmac = async (secret, data) => {
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, Uint8Array.from(data)));
};

/** Random bytes by Web Crypto. */
export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** Ids of streams, with this deployment's secrets. */
export function streamIdsOf(env: { ID_SECRET: string }): StreamIds {
  return new StreamIds(env.ID_SECRET, hmac);
}

/** Stream keys, with this deployment's secrets. */
export function streamKeysOf(env: { ID_SECRET: string }): ProvenTokens {
  return streamKeys(env.ID_SECRET, hmac);
}

/** How many characters of a key are kept to know it by: the same `nova_` begins each. */
const PREFIX_LENGTH = 10;

/** A new stream key, and what is kept of it. */
export async function mintStreamKey(env: { ID_SECRET: string }): Promise<{ key: string; prefix: string; digest: string }> {
  const key = await streamKeysOf(env).mint(randomBytes);
  return { key, prefix: key.slice(0, PREFIX_LENGTH), digest: await sha256Hex(key) };
}
