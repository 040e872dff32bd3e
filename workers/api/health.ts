import { createRoute } from "@hono/zod-openapi";
import { Alive, type Probe, Readiness } from "../../domain/protocol/api/health.ts";
import type { Millis } from "../../domain/time.ts";
import { Recent } from "../recent.ts";
import { answer, refusalsWithoutKey } from "./operation.ts";
import { createRouter } from "./router.ts";

/** After this long, a dependency that has not answered is down. */
const PROBE_MS: Millis = 2_000;
/** Whoever asks more often gets the same answer: anybody may ask, and it costs reads. */
const recent = new Recent<Readiness>(1_000);

const tags = ["Health"];

const alive = createRoute({
  ...{ method: "get", path: "/health", tags, operationId: "getHealth", security: [] },
  summary: "Whether the edge is alive",
  description: "Asks nothing of anything else.",
  responses: { 200: answer(Alive, "It is"), ...refusalsWithoutKey("internal_error") },
});

const ready = createRoute({
  ...{ method: "get", path: "/ready", tags, operationId: "getReadiness", security: [] },
  summary: "Whether the edge can work",
  description: "Asks each dependency, and gives up after two seconds. Live streams go on where some are down.",
  responses: {
    200: answer(Readiness, "It can; `degraded` where something less important is down"),
    ...refusalsWithoutKey("internal_error"),
    503: answer(Readiness, "The database or the media storage is down: nothing can be created or recorded"),
  },
});

/** Liveness and readiness, for load balancers and people. */
export const health = createRouter()
  .openapi(alive, (c) => c.json({ status: "ok" }, 200, { "Cache-Control": "no-store" }))
  .openapi(ready, async (c) => {
    const readiness = recent.get("ready") ?? (await probeAll(c.env));
    recent.set("ready", readiness);
    const { d1, r2 } = readiness.dependencies;
    const canWork = d1.state === "ok" && r2.state === "ok";
    return c.json(readiness, canWork ? 200 : 503, { "Cache-Control": "no-store" });
  });

async function probeAll(env: Env): Promise<Readiness> {
  const [d1, r2, objects, queues] = await Promise.all([
    probe(() => env.DB.prepare("SELECT 1 FROM accounts LIMIT 1").run()),
    probe(() => env.MEDIA.head("ready")),
    // One object, always the same: each name that is asked for makes one.
    probe(() => env.LIVE.get(env.LIVE.idFromName("ready")).facts()),
    probe(() => env.EVENTS.metrics()),
  ]);
  const dependencies = { d1, r2, objects, queues };
  const isReady = Object.values(dependencies).every(({ state }) => state === "ok");
  return { status: isReady ? "ready" : "degraded", dependencies };
}

async function probe(ask: () => Promise<unknown>): Promise<Probe> {
  const started = Date.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer")), PROBE_MS);
  });
  const state = await Promise.race([ask(), late]).then(
    () => "ok" as const,
    () => "down" as const,
  );
  if (timer !== undefined) clearTimeout(timer);
  return { state, latency_ms: Date.now() - started };
}
