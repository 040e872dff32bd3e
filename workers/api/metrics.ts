import { createRoute } from "@hono/zod-openapi";
import { decideResolution } from "../../domain/metrics/resolution.ts";
import { Analytics, AnalyticsQuery } from "../../domain/protocol/api/analytics.ts";
import { Metrics, MetricsQuery } from "../../domain/protocol/api/metrics.ts";
import { unwrap } from "../../durable-objects/live-stream/outcome.ts";
import { liveStream } from "../surface.ts";
import { answer, authorized, refusals } from "./operation.ts";
import { findOwnStream, StreamParams } from "./own-stream.ts";
import { createRouter } from "./router.ts";

const tags = ["Analytics"];

const getMetrics = createRoute({
  ...{ method: "get", path: "/streams/{id}/metrics", tags, operationId: "getStreamMetrics", ...authorized("streams:read") },
  summary: "Get a stream's figures over time",
  description:
    "At most 1,000 points, each of a step that begins at a multiple of its length; the answer reaches outwards to whole steps. Seconds are kept for 24 hours, minutes for 30 days. The newest second is in it at once.",
  request: { params: StreamParams, query: MetricsQuery },
  responses: { 200: answer(Metrics, "The figures"), ...refusals("stream_not_found") },
});

const getAnalytics = createRoute({
  ...{ method: "get", path: "/streams/{id}/analytics", tags, operationId: "getStreamAnalytics", ...authorized("streams:read") },
  summary: "Get how a broadcast went",
  description:
    "A health score with its reasons, totals, peaks, what viewers played, a comparison with the broadcasts before, and what to do better. Of the latest broadcast, also while it is live, or of another by its number.",
  request: { params: StreamParams, query: AnalyticsQuery },
  responses: { 200: answer(Analytics, "How the broadcast went"), ...refusals("stream_not_found", "broadcast_not_found") },
});

/** Figures of a stream, `/api/v1/streams/{id}/metrics` and `…/analytics`. */
export const metrics = createRouter()
  .openapi(getMetrics, async (c) => {
    const { since, until, step } = c.req.valid("query");
    const asked = { since: timeOf(since), until: timeOf(until), step: step ?? null };
    const resolution = decideResolution(asked, Date.now());
    const { stream } = await findOwnStream(c);
    return c.json(await liveStream(c.env, stream).metrics(resolution), 200);
  })
  .openapi(getAnalytics, async (c) => {
    const { stream } = await findOwnStream(c);
    return c.json(unwrap(await liveStream(c.env, stream).analytics(c.req.valid("query").broadcast ?? null)), 200);
  });

function timeOf(text: string | undefined): number | null {
  return text === undefined ? null : Date.parse(text);
}
