import { createRoute } from "@hono/zod-openapi";
import { NovaError } from "../../domain/errors.ts";
import { ArchiveList, EventList, ListArchive, ListEvents } from "../../domain/protocol/api/event-feed.ts";
import { listArchive, verifyArchive } from "../audit/archive-index.ts";
import { listEvents } from "../audit/event-log.ts";
import { answer, authorized, refusals } from "./operation.ts";
import { createRouter } from "./router.ts";

const tags = ["Events"];

const list = createRoute({
  ...{ method: "get", path: "/events", tags, operationId: "listEvents", ...authorized("streams:read") },
  summary: "List events",
  description:
    "What happened to the account's streams, keys and webhooks in the last 90 days, the oldest first. To follow, ask again and again with `after` set to the last `next_cursor`: nothing is left out and nothing comes twice. With `order=desc` the newest come first, and `next_cursor` leads to older ones.",
  request: { query: ListEvents },
  responses: { 200: answer(EventList, "A page of events"), ...refusals("invalid_cursor") },
});

const archive = createRoute({
  ...{ method: "get", path: "/events/archive", tags, operationId: "listEventArchive", ...authorized("admin") },
  summary: "List the archive of events",
  description:
    "The objects of the archive in R2, of all accounts, the oldest first. Each line holds the hash of the one before it. With `verify=true` the page's objects are read and every line is proven, going on from the object before the page.",
  request: { query: ListArchive },
  responses: { 200: answer(ArchiveList, "A page of the archive"), ...refusals("invalid_cursor") },
});

/** The feed of audit events, and their archive, `/api/v1/events`. */
export const auditEvents = createRouter()
  .openapi(list, async (c) => {
    const { after, ...query } = c.req.valid("query");
    const rows = await listEvents(c.env.DB, c.get("caller").accountId, { ...query, limit: query.limit + 1 }, parseCursor(after));
    const events = rows.slice(0, query.limit);
    const last = events.at(-1)?.cursor ?? null;
    // Whoever follows goes on from the end, whether or not there is more yet.
    const next_cursor = query.order === "asc" ? (last ?? after ?? null) : rows.length > query.limit ? last : null;
    return c.json({ events, next_cursor }, 200);
  })
  .openapi(archive, async (c) => {
    const { after, limit, verify } = c.req.valid("query");
    const number = parseCursor(after) ?? 0;
    const page = await listArchive(c.env, number, limit);
    const verification = verify === "true" ? await verifyArchive(c.env, number, page) : null;
    if (verify === "true" && verification === null) throw invalidCursor();
    const last = page.objects.at(-1);
    return c.json(
      { objects: page.objects, verification, next_cursor: page.hasMore && last !== undefined ? String(last.number) : null },
      200,
    );
  });

function parseCursor(text: string | undefined): number | null {
  if (text === undefined) return null;
  if (!/^\d{1,15}$/.test(text)) throw invalidCursor();
  return Number(text);
}

function invalidCursor(): NovaError {
  return new NovaError(400, "invalid_cursor", "after: take it from next_cursor of the page before, or from an event's cursor");
}
