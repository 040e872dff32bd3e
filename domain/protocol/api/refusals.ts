import { z } from "zod";

/** Every code that the API refuses with, its HTTP status, and what it means. A code is for ever. */
export const REFUSALS = {
  invalid_request: [400, "A field is wrong; `details` names each and says what is wrong with it"],
  invalid_json: [400, "The body is not JSON"],
  invalid_cursor: [400, "The cursor is not one that a page before gave"],
  url_not_allowed: [400, "Deliveries may not go to this URL: the message says why"],
  unauthorized: [401, "No valid API key or token"],
  token_required: [401, "The stream is signed: a playback token is needed"],
  token_invalid: [401, "The playback token is not valid, or not for this stream"],
  forbidden: [403, "The key lacks the scope that the operation needs"],
  origin_not_allowed: [403, "Pages of this site may not open sockets: its operator lists those that may"],
  not_found: [404, "Nothing is at this address"],
  stream_not_found: [404, "No such stream, or not one of yours"],
  account_not_found: [404, "No such account"],
  key_not_found: [404, "No such key"],
  broadcast_not_found: [404, "The stream has had no such broadcast"],
  webhook_not_found: [404, "No such webhook, or not one of yours"],
  delivery_not_found: [404, "No such delivery of this webhook"],
  method_not_allowed: [405, "The address does not take this method: `Allow` names those that it does"],
  idempotency_in_progress: [409, "A request with this `Idempotency-Key` is still being carried out"],
  too_many_keys: [409, "As many keys as there may be are valid: revoke some first"],
  too_many_webhooks: [409, "The account has as many webhooks as it may: delete one first"],
  webhook_disabled: [409, "The webhook is disabled: enable it first"],
  already_revoked: [409, "The key was revoked before"],
  already_rotated: [409, "The key was rotated before: rotate its successor"],
  key_expired: [409, "The key has expired: create a new one"],
  already_deleted: [409, "The stream was deleted before"],
  not_live: [409, "The stream is not live"],
  stream_deleted: [410, "The stream was deleted: create a new one"],
  revision_mismatch: [412, "Somebody else changed it since: `If-Match` names an older revision"],
  body_too_large: [413, "The body is larger than 64 KiB, or than the operation takes"],
  payload_too_large: [413, "The payload is larger than 4 KiB of JSON"],
  unsupported_media_type: [415, "The body is not JSON"],
  idempotency_mismatch: [422, "The `Idempotency-Key` was used for another request"],
  upgrade_required: [426, "The address speaks WebSocket only"],
  rate_limited: [429, "Too many requests: wait for `Retry-After` seconds"],
  too_many_messages: [429, "More metadata than five a second: send fewer, larger ones"],
  too_many_sockets: [429, "As many sockets as may come from one address are open: close some first"],
  too_many_beacons: [429, "More beacons than ten a minute: send several events in one"],
  internal_error: [500, "Something broke on our side"],
  unavailable: [503, "A dependency does not answer: try again after `Retry-After` seconds"],
  signing_not_configured: [503, "The deployment has no keys for playback tokens"],
  too_many_viewers: [503, "No more sockets can be opened right now; the stream plays without one, too"],
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
