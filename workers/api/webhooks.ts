import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { NovaError } from "../../domain/errors.ts";
import {
  CreatedWebhook,
  CreateWebhook,
  MAX_WEBHOOKS,
  RotatedWebhook,
  RotateWebhookSecret,
  UpdateWebhook,
  WebhookList,
  WebhookResource,
} from "../../domain/protocol/api/webhooks.ts";
import { isoTime } from "../../domain/time.ts";
import { computeRotation, type SigningSecrets } from "../../domain/webhooks/secrets.ts";
import { type WebhookRow, Webhooks } from "../store/webhooks.ts";
import { mintSigningSecret, sealSecrets, unsealSecrets } from "../webhooks/signing.ts";
import { proveTarget } from "../webhooks/target.ts";
import { type ApiSurface, authorOf } from "./access.ts";
import { IfMatch, RevisionHeader, readIfMatch, tagOf } from "./entity-tag.ts";
import { IDEMPOTENCY_REFUSALS, IdempotencyKey } from "./idempotency.ts";
import { answer, authorized, type DocumentedHeaders, jsonBody, refusals } from "./operation.ts";
import { findOwnWebhook, WebhookParams } from "./own-webhook.ts";
import { createRouter } from "./router.ts";

const tags = ["Webhooks"];
/** For how long a change is tried again that others have overtaken, and how long it waits before, at least and at most. */
const PATIENCE_MS = 5_000;
const MIN_PAUSE_MS = 10;
const MAX_PAUSE_MS = 50;

const LOCATION: DocumentedHeaders = {
  Location: {
    description: "Where the webhook is",
    schema: { type: "string" },
    example: "/api/v1/webhooks/5f0c3f5e-0f7d-4b8a-9a53-3f0e5d3c9b11",
  },
};

const create = createRoute({
  ...{ method: "post", path: "/webhooks", tags, operationId: "createWebhook", ...authorized("streams:write") },
  summary: "Create a webhook",
  description: `Events are sent to it from then on. The answer holds the secret that they are signed with; it is shown this once. The URL's name is looked up: addresses that are not public are refused. An account has at most ${MAX_WEBHOOKS}.`,
  request: { headers: z.object(IdempotencyKey), body: jsonBody(CreateWebhook) },
  responses: {
    201: answer(CreatedWebhook, "The webhook, with its secret", { ...LOCATION, ...RevisionHeader }),
    ...refusals("url_not_allowed", "too_many_webhooks", "invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

const list = createRoute({
  ...{ method: "get", path: "/webhooks", tags, operationId: "listWebhooks", ...authorized("streams:read") },
  summary: "List webhooks",
  description: "All of the caller's account, the newest first.",
  responses: { 200: answer(WebhookList, "The webhooks"), ...refusals() },
});

const get = createRoute({
  ...{ method: "get", path: "/webhooks/{webhook_id}", tags, operationId: "getWebhook", ...authorized("streams:read") },
  summary: "Get a webhook",
  description: "`ETag` is its revision.",
  request: { params: WebhookParams },
  responses: { 200: answer(WebhookResource, "The webhook", RevisionHeader), ...refusals("webhook_not_found") },
});

const update = createRoute({
  ...{ method: "patch", path: "/webhooks/{webhook_id}", tags, operationId: "updateWebhook", ...authorized("streams:write") },
  summary: "Change a webhook",
  description:
    "What is not named stays. Deliveries that wait go to the URL that it has when they are attempted. With `If-Match` it is only done where nobody has changed the webhook since.",
  request: { params: WebhookParams, headers: z.object(IfMatch), body: jsonBody(UpdateWebhook) },
  responses: {
    200: answer(WebhookResource, "The webhook as it is now", RevisionHeader),
    ...refusals("webhook_not_found", "url_not_allowed", "revision_mismatch", "invalid_json", "body_too_large"),
  },
});

const remove = createRoute({
  ...{ method: "delete", path: "/webhooks/{webhook_id}", tags, operationId: "deleteWebhook", ...authorized("streams:write") },
  summary: "Delete a webhook",
  description: "Nothing is sent to it any more, what waits included.",
  request: { params: WebhookParams, headers: z.object(IfMatch) },
  responses: { 204: { description: "Deleted" }, ...refusals("webhook_not_found", "revision_mismatch", "invalid_json", "body_too_large") },
});

const rotate = createRoute({
  ...{
    method: "post",
    path: "/webhooks/{webhook_id}/rotate-secret",
    tags,
    operationId: "rotateWebhookSecret",
    ...authorized("streams:write"),
  },
  summary: "Rotate a webhook's secret",
  description:
    "The new secret is shown this once. For `overlap_seconds` deliveries carry two signatures, one by each secret, so that a receiver can change over in its own time.",
  request: { params: WebhookParams, headers: z.object({ ...IfMatch, ...IdempotencyKey }), body: jsonBody(RotateWebhookSecret) },
  responses: {
    200: answer(RotatedWebhook, "The webhook, with its new secret", RevisionHeader),
    ...refusals("webhook_not_found", "revision_mismatch", "invalid_json", "body_too_large", ...IDEMPOTENCY_REFUSALS),
  },
});

/** The webhooks of an account, `/api/v1/webhooks`. */
export const webhooks = createRouter()
  .openapi(create, async (c) => {
    const wanted = c.req.valid("json");
    const url = await proveTarget(c.env, wanted.url);
    const id = crypto.randomUUID();
    const secret = mintSigningSecret();
    const sealed = await sealSecrets(c.env, id, { current: secret, previous: null });
    const row = await new Webhooks(c.env.DB).create({ ...wanted, url, id, secret: sealed }, authorOf(c), Date.now());
    if (row === null) throw new NovaError(409, "too_many_webhooks", `an account has at most ${MAX_WEBHOOKS} webhooks: delete one first`);
    return c.json({ ...describeWebhook(row), secret }, 201, { Location: `/api/v1/webhooks/${id}`, ETag: tagOf(row) });
  })
  .openapi(list, async (c) => {
    const rows = await new Webhooks(c.env.DB).list(c.get("caller").accountId);
    return c.json({ webhooks: rows.map(describeWebhook) }, 200);
  })
  .openapi(get, async (c) => {
    const row = await findOwnWebhook(c);
    return c.json(describeWebhook(row), 200, { ETag: tagOf(row) });
  })
  .openapi(update, async (c) => {
    const wanted = c.req.valid("json");
    // Whose it is comes first: for strangers nothing is looked up.
    await findOwnWebhook(c);
    const changes = wanted.url === undefined ? wanted : { ...wanted, url: await proveTarget(c.env, wanted.url) };
    const row = await changeCurrent(c, (current) => new Webhooks(c.env.DB).update(current, changes, authorOf(c), Date.now()));
    return c.json(describeWebhook(row), 200, { ETag: tagOf(row) });
  })
  .openapi(remove, async (c) => {
    await changeCurrent(c, async (row) => ((await new Webhooks(c.env.DB).delete(row, authorOf(c), Date.now())) ? row : null));
    return c.body(null, 204);
  })
  .openapi(rotate, async (c) => {
    const { overlap_seconds } = c.req.valid("json");
    const secret = mintSigningSecret();
    let next: SigningSecrets = { current: secret, previous: null };
    const row = await changeCurrent(c, async (current) => {
      const now = Date.now();
      const old = await unsealSecrets(c.env, current.id, current.secret);
      // What cannot be read any more cannot sign along either.
      if (old !== null) next = computeRotation(old, secret, overlap_seconds * 1000, now);
      return new Webhooks(c.env.DB).replaceSecret(current, await sealSecrets(c.env, current.id, next), authorOf(c), now);
    });
    const until = next.previous?.until ?? null;
    const previous_secret_expires_at = until === null ? null : isoTime(until);
    return c.json({ ...describeWebhook(row), secret, previous_secret_expires_at }, 200, { ETag: tagOf(row) });
  });

/** Carries out a change of the webhook as it is, again where another one came between; with `If-Match` that one is refused then. */
async function changeCurrent(c: Context<ApiSurface>, change: (row: WebhookRow) => Promise<WebhookRow | null>): Promise<WebhookRow> {
  const until = Date.now() + PATIENCE_MS;
  do {
    const row = await findOwnWebhook(c);
    readIfMatch(c, row);
    const changed = await change(row);
    if (changed !== null) return changed;
    // By chance, so that those who met do not meet again.
    await scheduler.wait(MIN_PAUSE_MS + Math.random() * (MAX_PAUSE_MS - MIN_PAUSE_MS));
  } while (Date.now() < until);
  throw new NovaError(503, "unavailable", "too many changes at once: try again in a second");
}

function describeWebhook(row: WebhookRow): WebhookResource {
  const { id, url, description, eventTypes, enabled, createdAt, updatedAt } = row;
  return { id, url, description, event_types: eventTypes, enabled, created_at: isoTime(createdAt), updated_at: isoTime(updatedAt) };
}
