/** SHA-256 of a text or of bytes, lower-case hex. Keys have 120 bits or more of randomness, so no salt is needed. */
export async function sha256Hex(data: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether a text is one of several secrets, comma-separated. Compares digests, in constant time over every secret. */
export async function isOneOf(candidate: string, secrets: string): Promise<boolean> {
  const digest = await sha256Hex(candidate);
  let matches = 0;
  for (const secret of secrets.split(",")) {
    if (secret.trim() === "") continue;
    const expected = await sha256Hex(secret.trim());
    let difference = 0;
    for (let i = 0; i < expected.length; i++) difference |= expected.charCodeAt(i) ^ digest.charCodeAt(i);
    if (difference === 0) matches += 1;
  }
  return matches > 0;
}
