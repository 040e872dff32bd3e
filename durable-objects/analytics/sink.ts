import { type AnalyticsPoint, encodePoint } from "../../domain/audience/analytics-point.ts";
import { memorySink } from "./memory-sink.ts";

/** Where measurements go. Never throws, never waits: a measurement that is lost is lost. */
export interface AnalyticsSink {
  write(point: AnalyticsPoint): void;
}

/** Bindings that measurements need. */
export interface AnalyticsEnv {
  ANALYTICS?: AnalyticsEngineDataset;
  /** `memory` keeps them in the isolate; anything else is Analytics Engine. */
  ANALYTICS_SINK?: string;
}

/** The sink of this deployment. */
export function analyticsOf(env: AnalyticsEnv): AnalyticsSink {
  if (env.ANALYTICS_SINK === "memory") return memorySink;
  return {
    write(point) {
      try {
        env.ANALYTICS?.writeDataPoint(encodePoint(point));
      } catch (error) {
        console.error(JSON.stringify({ event: "analytics_failed", kind: point.kind, error: String(error) }));
      }
    },
  };
}
