import { base64url } from "jose";
import { Recent } from "../recent.ts";

const VERSION = "v1.";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Keys derived a moment ago. */
const keys = new Recent<CryptoKey>(3_600_000);

/**
 * Encrypts a text that is to be kept: AES-256-GCM, by a key that is derived from the first secret. `context` says what it is and whose, such as
 * `webhook-secret:{id}`: put anywhere else, it does not open.
 */
export async function seal(env: { ID_SECRET: string }, context: string, text: string): Promise<string> {
  const [secret] = secretsOf(env);
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const algorithm = { name: "AES-GCM", iv: nonce, additionalData: encode(VERSION + context) };
  const encrypted = new Uint8Array(await crypto.subtle.encrypt(algorithm, await keyOf(secret), encode(text)));
  const whole = new Uint8Array(NONCE_BYTES + encrypted.length);
  whole.set(nonce);
  whole.set(encrypted, NONCE_BYTES);
  return VERSION + base64url.encode(whole);
}

/** What was sealed in the same context, by whichever of the secrets; null where it was not, or was changed. */
export async function unseal(env: { ID_SECRET: string }, context: string, sealed: string): Promise<string | null> {
  const whole = sealed.startsWith(VERSION) ? parseBase64Url(sealed.slice(VERSION.length)) : null;
  if (whole === null || whole.length < NONCE_BYTES + TAG_BYTES) return null;
  const algorithm = { name: "AES-GCM", iv: whole.subarray(0, NONCE_BYTES), additionalData: encode(VERSION + context) };
  for (const secret of secretsOf(env)) {
    const key = await keyOf(secret);
    const text = await crypto.subtle.decrypt(algorithm, key, whole.subarray(NONCE_BYTES)).catch(() => null);
    if (text !== null) return new TextDecoder().decode(text);
  }
  return null;
}

async function keyOf(secret: string): Promise<CryptoKey> {
  const known = keys.get(secret);
  if (known !== undefined) return known;
  const base = await crypto.subtle.importKey("raw", encode(secret), "HKDF", false, ["deriveKey"]);
  // Of its own `info`, so that what it encrypts has nothing to do with what the secret signs.
  const derivation = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(32), info: encode("nova-edge sealed v1") };
  const key = await crypto.subtle.deriveKey(derivation, base, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  keys.set(secret, key);
  return key;
}

function secretsOf(env: { ID_SECRET: string }): [string, ...string[]] {
  const [first, ...others] = env.ID_SECRET.split(",")
    .map((secret) => secret.trim())
    .filter((secret) => secret !== "");
  if (first === undefined) throw new Error("ID_SECRET is empty: set it to one or more secrets, comma-separated");
  return [first, ...others];
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function parseBase64Url(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return new Uint8Array(base64url.decode(text));
  } catch {
    return null;
  }
}
