/** The text that a delivery's signatures are made over: when it is sent, in Unix seconds, and exactly what. */
export function encodeSignedText(sentAt: number, body: string): string {
  return `${sentAt}.${body}`;
}

/** The header `Nova-Signature`. Each signature is hex; there are two while a secret is being changed for another. */
export function encodeSignature(sentAt: number, signatures: readonly string[]): string {
  return [`t=${sentAt}`, ...signatures.map((signature) => `v1=${signature}`)].join(",");
}
