import { join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions } from "wrangler";
import { ROOT, WORKER_BUNDLE } from "../../../scripts/local/build.ts";
import { endWithSupervisor, report } from "../../../scripts/local/child.ts";
import { applyMigrations } from "../../../scripts/local/migrations.ts";
import { loadSecrets } from "../../../scripts/local/settings.ts";
import { type BundleWrapper, writeWrappedBundle } from "./wrapped-bundle.ts";

/**
 * The built Worker in workerd as `npm start` runs it, but without its pages and without what the development server puts before it: four
 * Workers that pass each request on, and cost more than the platform does. `EDGE_VARS` is JSON of variables that differ from wrangler.toml's;
 * `EDGE_WRAPPER` names what is put around the Worker. `EDGE_ROLE` is for two processes with one data directory: `root` has the
 * streams' own objects, `shards` the shards of their audiences; each calls the other's by way of the development registry.
 */
const dataDir = process.env.DATA_DIR ?? "";
const port = Number(process.env.PORT);
const secrets = loadSecrets(dataDir, process.env);
const vars = JSON.parse(process.env.EDGE_VARS ?? "{}") as Record<string, string>;
// wrangler.toml names the secrets that a deployment must have, and looks for them in the environment.
Object.assign(process.env, secrets);
const { assets: _, ...workerOptions } = unstable_getMiniflareWorkerOptions(join(ROOT, "wrangler.toml")).workerOptions;
const role = process.env.EDGE_ROLE;
const names = { root: "nova-edge", shards: "nova-edge-shards" };
const isElsewhere = (binding: string) => role !== undefined && binding !== (role === "shards" ? "SHARDS" : "LIVE");
const durableObjects = Object.entries(workerOptions.durableObjects as Record<string, { className: string }>).map(([binding, object]) => [
  binding,
  isElsewhere(binding) ? { ...object, scriptName: binding === "SHARDS" ? names.shards : names.root } : object,
]);
const wrapper = process.env.EDGE_WRAPPER as BundleWrapper | undefined;
const modules = wrapper === undefined ? [WORKER_BUNDLE] : writeWrappedBundle(WORKER_BUNDLE, wrapper, dataDir);
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: 0,
    log: new Log(LogLevel.WARN),
    cf: false,
    resourcePersistencePath: join(dataDir, role ?? "edge"),
    ...(role === undefined ? {} : { unsafeDevRegistryPath: join(dataDir, "registry") }),
    workers: [
      {
        ...workerOptions,
        name: role === "shards" ? names.shards : names.root,
        durableObjects: Object.fromEntries(durableObjects) as Record<string, { className: string; scriptName?: string }>,
        modules: modules.map((path) => ({ type: "ESModule" as const, path })),
        ...(modules.length > 1 ? { modulesRoot: dataDir } : {}),
        bindings: { ...(workerOptions.bindings as Record<string, string>), ...secrets, ANALYTICS_SINK: "memory", ...vars },
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
