import { ProvenTokens } from "../../domain/proven-token.ts";
import { sha256Hex } from "./digest.ts";
import { hmac, randomBytes } from "./tokens.ts";

/** What every API key begins with. */
export const API_KEY_PREFIX = "nova_api_";
/** How many characters of a key are kept to know it by. */
const KEPT_LENGTH = API_KEY_PREFIX.length + 5;

/** API keys, with this deployment's secrets: they prove themselves, so a made-up one costs no D1 read. */
export function apiKeysOf(env: { ID_SECRET: string }): ProvenTokens {
  return new ProvenTokens({ prefix: API_KEY_PREFIX, label: "api-key:", randomBytes: 15 }, env.ID_SECRET, hmac);
}

/** A new API key, and what is kept of it. */
export async function mintApiKey(env: { ID_SECRET: string }): Promise<{ key: string; prefix: string; digest: string }> {
  const key = await apiKeysOf(env).mint(randomBytes);
  return { key, prefix: key.slice(0, KEPT_LENGTH), digest: await sha256Hex(key) };
}
