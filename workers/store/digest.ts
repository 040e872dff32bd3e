/** SHA-256 of a text or of bytes, lower-case hex. Keys have 120 bits or more of randomness, so no salt is needed. */
export async function sha256Hex(data: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

/** Whether a text is a secret. Compares digests, in constant time; an empty secret is nobody's. */
export async function isSecret(candidate: string, secret: string): Promise<boolean> {
  const [digest, expected] = await Promise.all([sha256Hex(candidate), sha256Hex(secret)]);
  let difference = secret === "" ? 1 : 0;
  for (let i = 0; i < expected.length; i++) difference |= expected.charCodeAt(i) ^ digest.charCodeAt(i);
  return difference === 0;
}

/** Whether a text is one of several secrets, comma-separated, so that they can be rotated. */
export async function isOneOf(candidate: string, secrets: string): Promise<boolean> {
  const matches = await Promise.all(secrets.split(",").map((secret) => isSecret(candidate, secret.trim())));
  return matches.includes(true);
}
