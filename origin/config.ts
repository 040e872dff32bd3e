import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";

/** How video is encoded: in software, or by the graphics hardware of a vendor. */
export const VideoEncoder = z.enum(["x264", "nvenc", "vaapi", "qsv"]);
export type VideoEncoder = z.infer<typeof VideoEncoder>;

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
  /** RTMP over TLS; null where it is not offered. */
  rtmps: { port: number; certificateFile: string; keyFile: string } | null;
  /** How many processes share the encoders' connections. */
  ingestProcesses: number;
  maxConnections: number;
  maxConnectionsPerAddress: number;
  /** Publishes at a time. */
  maxStreams: number;
  /** What an encoder may send, all of it together, kbit/s over some seconds. */
  maxBitrateKbps: number;
  /** The largest picture, pixels. */
  maxPixels: number;
  /** Sockets between the origin's processes lie here; only the owner may enter. */
  runDirectory: string;
  /** Where media waits for an edge that is away, once it is too much for memory. */
  spool: { directory: string; memoryBytes: number; diskBytes: number };
  videoEncoder: VideoEncoder;
  /** Device of VAAPI and Quick Sync. */
  renderDevice: string;
  /** How long live publishes may go on once the origin drains, seconds. */
  drainSeconds: number;
  /** Where health, metrics and draining are asked for; never open to the internet. Port 0 takes any. */
  privateHttp: { host: string; port: number };
  logLevel: string;
}

const port = z.coerce.number().int().min(0).max(65535);
const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);

const Environment = z
  .object({
    EDGE_URL: z.url({ protocol: /^https?$/ }),
    ORIGIN_TOKEN: z.string().min(1),
    ORIGIN_ID: z.string().min(1).max(64).default(hostname().slice(0, 64)),
    RTMP_HOST: z.string().min(1).default("0.0.0.0"),
    RTMP_PORT: port.default(1935),
    RTMPS_PORT: port.optional(),
    TLS_CERT_FILE: z.string().min(1).optional(),
    TLS_KEY_FILE: z.string().min(1).optional(),
    INGEST_PROCESSES: whole(1, 32).default(Math.min(2, availableParallelism())),
    MAX_CONNECTIONS: whole(1, 100_000).default(1000),
    MAX_CONNECTIONS_PER_ADDRESS: whole(1, 100_000).default(200),
    MAX_STREAMS: whole(1, 10_000).default(60 * availableParallelism()),
    MAX_BITRATE_KBPS: whole(100, 1_000_000).default(50_000),
    MAX_PIXELS: whole(10_000, 100_000_000).default(4096 * 2304),
    RUN_DIR: z.string().min(1).optional(),
    SPOOL_DIR: z.string().min(1).optional(),
    SPOOL_MEMORY_MB: whole(1, 100_000).default(256),
    SPOOL_DISK_MB: whole(0, 10_000_000).default(2048),
    VIDEO_ENCODER: VideoEncoder.default("x264"),
    RENDER_DEVICE: z.string().min(1).default("/dev/dri/renderD128"),
    DRAIN_SECONDS: whole(0, 86_400).default(30),
    PRIVATE_HOST: z.string().min(1).default("127.0.0.1"),
    PRIVATE_PORT: port.default(9464),
    LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  })
  .refine((env) => env.RTMPS_PORT === undefined || (env.TLS_CERT_FILE !== undefined && env.TLS_KEY_FILE !== undefined), {
    path: ["RTMPS_PORT"],
    message: "needs TLS_CERT_FILE and TLS_KEY_FILE",
  });

/** Reads the environment. Throws an Error that names each variable that is missing or wrong. */
export function readOriginConfig(env: Record<string, string | undefined>, temporaryDirectory: string): OriginConfig {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const result = Environment.safeParse(set);
  if (!result.success) {
    throw new Error(
      `the origin's settings are not right: ${result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ")}`,
    );
  }
  const { data } = result;
  // The same at each start, so that an origin finds and removes what one before it left when it was killed.
  const runDirectory = data.RUN_DIR ?? join(temporaryDirectory, `nova-origin-${data.RTMP_PORT === 0 ? process.pid : data.RTMP_PORT}`);
  return {
    edgeUrl: data.EDGE_URL.replace(/\/$/, ""),
    originToken: data.ORIGIN_TOKEN,
    originId: data.ORIGIN_ID,
    host: data.RTMP_HOST,
    rtmpPort: data.RTMP_PORT,
    rtmps:
      data.RTMPS_PORT === undefined || data.TLS_CERT_FILE === undefined || data.TLS_KEY_FILE === undefined
        ? null
        : { port: data.RTMPS_PORT, certificateFile: data.TLS_CERT_FILE, keyFile: data.TLS_KEY_FILE },
    ingestProcesses: data.INGEST_PROCESSES,
    maxConnections: data.MAX_CONNECTIONS,
    maxConnectionsPerAddress: data.MAX_CONNECTIONS_PER_ADDRESS,
    maxStreams: data.MAX_STREAMS,
    maxBitrateKbps: data.MAX_BITRATE_KBPS,
    maxPixels: data.MAX_PIXELS,
    runDirectory,
    spool: {
      directory: data.SPOOL_DIR ?? join(runDirectory, "spool"),
      memoryBytes: data.SPOOL_MEMORY_MB * 2 ** 20,
      diskBytes: data.SPOOL_DISK_MB * 2 ** 20,
    },
    videoEncoder: data.VIDEO_ENCODER,
    renderDevice: data.RENDER_DEVICE,
    drainSeconds: data.DRAIN_SECONDS,
    privateHttp: { host: data.PRIVATE_HOST, port: data.PRIVATE_PORT },
    logLevel: data.LOG_LEVEL,
  };
}
