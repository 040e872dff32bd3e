import type { PartsHead } from "../../domain/protocol/origin-link.ts";

const LENGTH_BYTES = 4;

/** The body of a call with several parts; `bytes` in the order of the head. */
export function encodePartsBody(head: PartsHead, bytes: readonly Uint8Array[]): Uint8Array {
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json, ...bytes]);
}
