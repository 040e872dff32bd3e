import { z } from "zod";

/** Every code that the API refuses with, its HTTP status, and what it means. A code is for ever. */
export const REFUSALS = {
  invalid_request: [400, "A field is wrong; `details` names each and says what is wrong with it"],
  invalid_json: [400, "The body is not JSON"],
  invalid_cursor: [400, "The cursor is not one that a page before gave"],
  unauthorized: [401, "No valid API key or token"],
  forbidden: [403, "The key lacks the scope that the operation needs"],
  not_found: [404, "Nothing is at this address"],
  stream_not_found: [404, "No such stream, or not one of yours"],
  key_not_found: [404, "No such key"],
  too_many_keys: [409, "As many keys as there may be are valid: revoke some first"],
  already_revoked: [409, "The key was revoked before"],
  already_deleted: [409, "The stream was deleted before"],
  stream_deleted: [410, "The stream was deleted: create a new one"],
  revision_mismatch: [412, "Somebody else changed it since: `If-Match` names an older revision"],
  body_too_large: [413, "The body is larger than 64 KiB, or than the operation takes"],
  unsupported_media_type: [415, "The body is not JSON"],
  rate_limited: [429, "Too many requests: wait for `Retry-After` seconds"],
  internal_error: [500, "Something broke on our side"],
  unavailable: [503, "A dependency does not answer: try again after `Retry-After` seconds"],
} as const satisfies Record<string, readonly [status: number, meaning: string]>;
export type RefusalCode = keyof typeof REFUSALS;

/** Every refusal of the API. */
export const ErrorBody = z
  .object({
    error: z.string().meta({ description: "Stable and machine-readable" }),
    message: z.string().meta({ description: "What is wrong, and what to do" }),
    request_id: z.string(),
    details: z
      .array(z.object({ field: z.string(), message: z.string() }))
      .optional()
      .meta({ description: "With `invalid_request`: what is wrong with which field" }),
  })
  .meta({ id: "Error" });
export type ErrorBody = z.infer<typeof ErrorBody>;
