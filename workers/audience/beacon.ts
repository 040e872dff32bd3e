import { createRoute } from "@hono/zod-openapi";
import { cors } from "hono/cors";
import type { AnalyticsPoint } from "../../domain/audience/analytics-point.ts";
import { type MessageBudget, type MessageLimit, spendMessage } from "../../domain/audience/message-limit.ts";
import { NovaError } from "../../domain/errors.ts";
import { Beacon, type BeaconEvent, MAX_BEACON_BYTES } from "../../domain/protocol/beacon.ts";
import type { Millis } from "../../domain/time.ts";
import { analyticsOf } from "../../durable-objects/analytics/sink.ts";
import { jsonBody, refusalsWithoutKey } from "../api/operation.ts";
import { StreamParams } from "../api/own-stream.ts";
import { createRouter } from "../api/router.ts";
import { Recent } from "../recent.ts";
import { proveStreamId, readJson } from "../surface.ts";
import { identifyVisitor } from "./visitor.ts";

const MINUTE_MS: Millis = 60_000;
const PLAYER_LIMIT: MessageLimit = { messages: 10, windowMs: MINUTE_MS };
/** Many may share an address, but one who changes its user agent with every beacon is stopped by it. */
const ADDRESS_LIMIT: MessageLimit = { messages: 300, windowMs: MINUTE_MS };

/** What visitors have sent this isolate in the last minute. */
const budgets = new Recent<MessageBudget>(MINUTE_MS);

const send = createRoute({
  ...{ method: "post", path: "/streams/{id}/beacon", tags: ["Audience"], operationId: "sendBeacon", security: [] },
  summary: "Send a beacon of a player",
  description:
    "What a player noticed: how long it took to start, where it stood still, which rendition it changed to, what failed. From any site, without a key. The body is read as JSON whatever its content type says, so that `navigator.sendBeacon` needs no preflight. At most 4 KiB, and ten a minute from one player: send several events in one.",
  request: { params: StreamParams, body: jsonBody(Beacon) },
  responses: {
    204: { description: "Taken" },
    ...refusalsWithoutKey("invalid_json", "invalid_request", "stream_not_found", "body_too_large", "too_many_beacons", "internal_error"),
  },
});

/** What players notice, `/api/v1/streams/{id}/beacon`, from any site and without a key. Asks neither D1 nor the stream's object. */
export const beacon = createRouter();
// Described, but read by its own rules: a beacon's content type is that of a text.
beacon.openAPIRegistry.registerPath(send);
beacon.use(send.getRoutingPath(), cors({ origin: "*", allowMethods: ["POST"], allowHeaders: ["Content-Type"], maxAge: 86_400 }));
beacon.post(send.getRoutingPath(), async (c) => {
  const stream = await proveStreamId(c.env, c.req.param("id"));
  const { address, player, device, country } = await identifyVisitor(c.env, stream, c.req.raw);
  const now = Date.now();
  spend(`${stream} ${player}`, PLAYER_LIMIT, now);
  if (address !== null) spend(`${stream} ${address}`, ADDRESS_LIMIT, now);
  const { events } = await readJson(c.req.raw, Beacon, MAX_BEACON_BYTES);
  const sink = analyticsOf(c.env);
  for (const event of events) sink.write({ stream, device, country, ...happeningOf(event) });
  return c.body(null, 204, { "Cache-Control": "no-store" });
});

function spend(key: string, limit: MessageLimit, now: Millis): void {
  const left = spendMessage(budgets.get(key) ?? { windowStart: now, used: 0 }, limit, now);
  if (left === null) throw new NovaError(429, "too_many_beacons", "at most 10 beacons a minute: send several events in one");
  budgets.set(key, left);
}

type Happening<Point = AnalyticsPoint> = Point extends AnalyticsPoint ? Omit<Point, "stream" | "device" | "country"> : never;

function happeningOf(event: BeaconEvent): Happening {
  switch (event.type) {
    case "switch":
      return { kind: "switch", from: event.from, to: event.to };
    case "error":
      return { kind: "error", code: event.code };
    default:
      return { kind: event.type, ms: event.ms, rendition: event.rendition ?? null };
  }
}
