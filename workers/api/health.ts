import { Hono } from "hono";
import type { Surface } from "../surface.ts";

/** Liveness and readiness, for load balancers and people. */
export const health = new Hono<Surface>();

health.get("/health", (c) => c.json({ status: "ok" }, 200, { "Cache-Control": "no-store" }));

health.get("/ready", async (c) => {
  const started = Date.now();
  const [d1, r2] = await Promise.allSettled([c.env.DB.prepare("SELECT 1 FROM accounts LIMIT 1").run(), c.env.MEDIA.head("ready")]);
  const dependencies = { d1: d1.status === "fulfilled", r2: r2.status === "fulfilled" };
  const ready = dependencies.d1 && dependencies.r2;
  return c.json({ status: ready ? "ready" : "degraded", dependencies, took_ms: Date.now() - started }, ready ? 200 : 503, {
    "Cache-Control": "no-store",
  });
});
