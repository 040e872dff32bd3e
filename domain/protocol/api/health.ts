import { z } from "zod";

/** Answer of `GET /health`: whoever answers is alive. */
export const Alive = z.object({ status: z.literal("ok") }).meta({ id: "Alive", example: { status: "ok" } });

const Probe = z
  .object({
    state: z.enum(["ok", "down"]),
    latency_ms: z.number().nonnegative().meta({ description: "How long it took to answer, or to be given up" }),
  })
  .meta({ id: "Probe", example: { state: "ok", latency_ms: 4 } });
export type Probe = z.infer<typeof Probe>;

/** Answer of `GET /ready`: each dependency, and how it does. */
export const Readiness = z
  .object({
    status: z.enum(["ready", "degraded"]).meta({ description: "`degraded` where a dependency is down" }),
    dependencies: z.object({ d1: Probe, r2: Probe, objects: Probe, queues: Probe }),
  })
  .meta({
    id: "Readiness",
    example: {
      status: "ready",
      dependencies: {
        d1: { state: "ok", latency_ms: 4 },
        r2: { state: "ok", latency_ms: 9 },
        objects: { state: "ok", latency_ms: 3 },
        queues: { state: "ok", latency_ms: 6 },
      },
    },
  });
export type Readiness = z.infer<typeof Readiness>;
