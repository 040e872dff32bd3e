import { NovaError } from "../../domain/errors.ts";

/** Writes an object once. The same bytes again change nothing; other bytes under the key: 409 `conflict`. */
export async function putImmutable(bucket: R2Bucket, key: string, bytes: Uint8Array<ArrayBuffer>, digest: string): Promise<void> {
  // A condition that no existing object meets: the write happens only where there is none.
  const written = await bucket.put(key, bytes, { onlyIf: new Headers({ "If-None-Match": "*" }), customMetadata: { sha256: digest } });
  if (written !== null) return;
  const existing = await bucket.head(key);
  if (existing?.customMetadata?.sha256 !== digest) throw new NovaError(409, "conflict", "other bytes were stored under this name before");
}
