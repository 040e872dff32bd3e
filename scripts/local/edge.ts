import { readFileSync } from "node:fs";
import { join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions } from "wrangler";
import { ROOT, WORKER_BUNDLE } from "./build.ts";
import { applyMigrations } from "./migrations.ts";
import type { LocalSecrets } from "./settings.ts";
import { localSocketLimit } from "./socket-limit.ts";

/** How often the cron of wrangler.toml fires. */
const CRON_MS = 60_000;

/** How a local edge runs. */
export interface EdgeOptions {
  host: string;
  /** 0 for any free port. */
  port: number;
  /** Holds D1, R2 and the objects; kept over restarts. */
  dataDir: string;
  /** What the API names as the encoders' address; `{host}` stands for the host that the API was asked at. */
  rtmpUrl: string;
  secrets: LocalSecrets;
  /** Another Worker than the built one, as a bundle. */
  bundle?: string;
  /** Settings of wrangler.toml that shall be others here. */
  vars?: Record<string, string>;
}

/** What is different in a local runtime: no Analytics Engine, one process for all sockets, and webhooks of this machine. */
export function localVars(): Record<string, string> {
  return { ANALYTICS_SINK: "memory", MAX_SOCKETS_IN_PROCESS: String(localSocketLimit()), WEBHOOK_ALLOW_LOOPBACK: "true" };
}

/** The built Worker in workerd, with D1, R2 and Durable Objects as miniflare embeds them and the bindings that wrangler.toml declares. */
export async function startEdge(options: EdgeOptions): Promise<{ miniflare: Miniflare; url: URL }> {
  // wrangler.toml names the secrets that a deployment must have, and looks for them in the environment.
  Object.assign(process.env, options.secrets);
  const { workerOptions } = unstable_getMiniflareWorkerOptions(join(ROOT, "wrangler.toml"));
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: options.host,
      port: options.port,
      log: new Log(LogLevel.WARN),
      cf: false,
      resourcePersistencePath: join(options.dataDir, "edge"),
      workers: [
        {
          ...workerOptions,
          name: "nova-edge",
          queueConsumers: impatient(Object.entries(workerOptions.queueConsumers ?? {})),
          modules: [{ type: "ESModule", path: "index.js", contents: readFileSync(options.bundle ?? WORKER_BUNDLE, "utf8") }],
          bindings: {
            ...(workerOptions.bindings as Record<string, string>),
            ...localVars(),
            ...options.vars,
            ...options.secrets,
            PUBLIC_RTMP_URL: options.rtmpUrl,
          },
        },
      ],
    }),
  );
  try {
    const url = await miniflare.ready;
    await applyMigrations(await miniflare.getD1Database("DB"));
    fireCron(miniflare);
    return { miniflare, url };
  } catch (error) {
    await miniflare.dispose().catch(() => undefined);
    throw error;
  }
}

/** A local queue is in memory only: it passes on at once what it has, so that little is lost with the process. */
function impatient<Consumer extends object>(consumers: [string, Consumer][]): Record<string, Consumer & { maxBatchTimeout: number }> {
  return Object.fromEntries(consumers.map(([queue, consumer]) => [queue, { ...consumer, maxBatchTimeout: 0 }]));
}

/** Fires the cron, as nobody else does in a local runtime, until the runtime is disposed. */
function fireCron(miniflare: Miniflare): void {
  const timer = setInterval(async () => {
    try {
      const worker = await miniflare.getWorker();
      await worker.scheduled({ cron: "* * * * *" });
    } catch (error) {
      // One that fails comes again in a minute; there is nothing more to do once the runtime is gone.
      if (error instanceof Error && "code" in error && error.code === "ERR_DISPOSED") clearInterval(timer);
    }
  }, CRON_MS);
  timer.unref();
}
