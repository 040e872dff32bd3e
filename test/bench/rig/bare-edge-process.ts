import { join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions } from "wrangler";
import { ROOT, WORKER_BUNDLE } from "../../../scripts/local/build.ts";
import { endWithSupervisor, report } from "../../../scripts/local/child.ts";
import { applyMigrations } from "../../../scripts/local/migrations.ts";
import { loadSecrets } from "../../../scripts/local/settings.ts";

/**
 * The built Worker in workerd as `npm start` runs it, but without its pages and without what the development server puts before it: four
 * Workers that pass each request on, and cost more than the platform does.
 */
const dataDir = process.env.DATA_DIR ?? "";
const port = Number(process.env.PORT);
const secrets = loadSecrets(dataDir, process.env);
// wrangler.toml names the secrets that a deployment must have, and looks for them in the environment.
Object.assign(process.env, secrets);
const { assets: _, ...workerOptions } = unstable_getMiniflareWorkerOptions(join(ROOT, "wrangler.toml")).workerOptions;
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: 0,
    log: new Log(LogLevel.WARN),
    cf: false,
    resourcePersistencePath: join(dataDir, "edge"),
    workers: [
      {
        ...workerOptions,
        name: "nova-edge",
        modules: [{ type: "ESModule", path: WORKER_BUNDLE }],
        bindings: { ...(workerOptions.bindings as Record<string, string>), ...secrets },
        unsafeDirectSockets: [{ host: "127.0.0.1", port }],
      },
    ],
  }),
);
try {
  await miniflare.ready;
  await applyMigrations(await miniflare.getD1Database("DB"));
  endWithSupervisor(() => miniflare.dispose());
  report({ ready: {} });
} catch (error) {
  report({ failed: `the edge could not start: ${error instanceof Error ? error.message : String(error)}` });
}
