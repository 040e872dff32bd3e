import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";

/** How an origin runs. */
export interface OriginConfig {
  /** The edge, `https://…` in production. */
  edgeUrl: string;
  /** Proves this origin to the edge; one of its `ORIGIN_TOKENS`. */
  originToken: string;
  /** Names this box in leases and logs. */
  originId: string;
  /** Address that RTMP listens on. */
  host: string;
  rtmpPort: number;
  /** Sockets between the origin's processes lie here; only the owner may enter. */
  runDirectory: string;
  logLevel: string;
}

const Environment = z.object({
  EDGE_URL: z.url({ protocol: /^https?$/ }),
  ORIGIN_TOKEN: z.string().min(1),
  ORIGIN_ID: z.string().min(1).max(64).default(hostname().slice(0, 64)),
  RTMP_HOST: z.string().min(1).default("0.0.0.0"),
  RTMP_PORT: z.coerce.number().int().min(0).max(65535).default(1935),
  RUN_DIR: z.string().min(1).optional(),
  LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
});

/** Reads the environment. Throws an Error that names each variable that is missing or wrong. */
export function readOriginConfig(env: Record<string, string | undefined>, temporaryDirectory: string): OriginConfig {
  const result = Environment.safeParse(env);
  if (!result.success) {
    throw new Error(
      `the origin's settings are not right: ${result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ")}`,
    );
  }
  const { data } = result;
  return {
    edgeUrl: data.EDGE_URL.replace(/\/$/, ""),
    originToken: data.ORIGIN_TOKEN,
    originId: data.ORIGIN_ID,
    host: data.RTMP_HOST,
    rtmpPort: data.RTMP_PORT,
    runDirectory: data.RUN_DIR ?? join(temporaryDirectory, `nova-origin-${process.pid}`),
    logLevel: data.LOG_LEVEL,
  };
}
