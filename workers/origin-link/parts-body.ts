import { NovaError } from "../../domain/errors.ts";
import { PartsHead } from "../../domain/protocol/origin-link.ts";
import { parseInput, parseJson } from "../surface.ts";

const LENGTH_BYTES = 4;

/** Reads the body of a call with several parts: what its head says, and each part's bytes as a view. Throws 400 where they do not agree. */
export function parsePartsBody(body: Uint8Array<ArrayBuffer>): { head: PartsHead; bytes: Uint8Array<ArrayBuffer>[] } {
  const headEnd = body.length < LENGTH_BYTES ? Number.POSITIVE_INFINITY : LENGTH_BYTES + new DataView(body.buffer).getUint32(0);
  if (headEnd > body.length) throw new NovaError(400, "invalid_parts", "the body is shorter than its head says");
  const head = parseInput(PartsHead, parseJson(body.subarray(LENGTH_BYTES, headEnd)));
  let at = headEnd;
  const bytes = head.parts.map(({ size }) => {
    at += size;
    return body.subarray(at - size, at);
  });
  if (at !== body.length) throw new NovaError(400, "invalid_parts", "the sizes of the parts do not add up to the body");
  return { head, bytes };
}
