/** What the API's document says before its operations, in Markdown. */
export const PROSE = `Create streams, hand out keys, follow what happens. Everything is JSON over HTTPS; times are ISO 8601 in UTC, names are \`snake_case\`.

## Authentication

\`Authorization: Bearer KEY\`, where KEY is an API key, or a JWT of the issuer that the deployment trusts. A key belongs to an account and sees
nothing of others: what belongs to another account is answered like what does not exist. \`x-required-scope\` names the scope that an operation needs;
\`admin\` includes all. Keys, stream keys and secrets are shown once, when they are made.

## Errors

Every refusal is \`{"error", "message", "request_id"}\`. \`error\` is a stable code, each listed with the operations that give it; \`message\` says what is
wrong and what to do, for people. \`invalid_request\` adds \`details\`, a list of \`{"field", "message"}\`. \`request_id\`, also in the header
\`X-Request-Id\` of every answer of the API, is what to tell us when something broke. An address that nothing answers to is \`not_found\`.

## Paging

Lists answer with \`next_cursor\`: ask again with \`cursor\` set to it and the same filters, until it is null. A cursor is opaque. The feed of events
goes on for ever: it takes \`next_cursor\` as \`after\`, and an empty page only says that nothing has happened since.

## Changing things safely

- \`ETag\` is the revision of what you have read. Send it as \`If-Match\` with a change, and the change is only made where nobody was faster; otherwise it is
  refused with 412 \`revision_mismatch\`: read again, and decide again.
- \`Idempotency-Key\`, 1 to 255 printable ASCII characters that are new for each thing you do: a POST that is repeated with the same key within 24 hours does
  nothing and gets the first answer again, with \`Idempotency-Replayed: true\`. So a timeout is no riddle.

## Limits

Bodies are at most 64 KiB. Requests are limited by key, and by address where there is no valid key: 429 \`rate_limited\` with \`Retry-After\` in seconds.
503 \`unavailable\` has a \`Retry-After\`, too: a dependency is away. Live streams and their viewers do not notice either.

## Events

What happens to your things is told in three ways: by the feed \`GET /api/v1/events\`, by webhooks, and, for viewers and pages, by the WebSocket of each
stream. Fields and event types may be added: ignore what you do not know.`;

/** What each group of operations is about, in the order of the document. */
export const TAGS = [
  {
    name: "Streams",
    description: "Lasting things with an id, a title and a watch page. Each time that an encoder goes live is a broadcast.",
  },
  { name: "Stream keys", description: "What encoders publish with: several for a stream, rotated with an overlap, revoked at once." },
  { name: "Playback", description: "Tokens for streams that only chosen viewers may play." },
  { name: "Audience", description: "Who watches, what they are told, and what their players notice." },
  { name: "Analytics", description: "Figures of each second, and how a broadcast went." },
  { name: "Events", description: "The record of what happened to an account's things." },
  { name: "Webhooks", description: "Events, sent to a server of yours, signed, and tried again for a day." },
  { name: "Accounts", description: "Broadcasters of the deployment." },
  { name: "API keys", description: "What this API is called with." },
  { name: "Health", description: "For load balancers and people." },
];
