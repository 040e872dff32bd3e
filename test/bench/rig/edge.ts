import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CreateStream, StreamResource } from "../../../domain/protocol/api/streams.ts";
import { build } from "../../../scripts/local/build.ts";
import { loadSecrets } from "../../../scripts/local/settings.ts";
import type { Cleanup } from "./figure.ts";
import { findFreePort, ServerProcess } from "./server-process.ts";
import type { BundleWrapper } from "./wrapped-bundle.ts";

/** The edge alone, with its Worker bare on a free port: whoever has the token is its origin. */
export interface Edge {
  /** `http://127.0.0.1:PORT`. */
  site: string;
  /** Where its data lies. */
  dataDir: string;
  /** Of the running process; another one after `restart`. */
  readonly pid: number;
  originToken: string;
  /** The key that `api` asks with. */
  apiKey: string;
  /** Asks the API as the owner of everything. Rejects where the answer is no success. */
  api(method: string, path: string, body?: object): Promise<unknown>;
  /** Makes a stream by the API. */
  createStream(fields: Partial<CreateStream> & { title: string }): Promise<StreamResource & { stream_key: string }>;
  /** Kills all of its processes at once. */
  kill(): void;
  /** Starts it again after `kill`, at the same port and with the same data. */
  restart(): Promise<void>;
}

/** What differs from wrangler.toml. */
export interface EdgeOptions {
  vars?: Record<string, string>;
  /** What is put around the Worker: `counted-d1` counts the queries of D1 at `GET /bench/d1`, `open-d1` lets the bench ask D1 itself. */
  wrapper?: BundleWrapper;
  /** Two edges are one: `root` has the streams' own objects, `shards` the shards of their audiences, and is started on the root's data directory. */
  part?: { role: "root" } | { role: "shards"; root: Edge };
}

/** Builds and starts an edge with a data directory that goes with it. Rejects where it does not become ready. */
export async function startEdge(cleanup: Cleanup, say: (line: string) => void, options: EdgeOptions = {}): Promise<Edge> {
  await build(say);
  const { part } = options;
  const dataDir = part?.role === "shards" ? part.root.dataDir : mkdtempSync(join(tmpdir(), "nova-edge-bench-"));
  if (part?.role !== "shards") cleanup.add(() => rmSync(dataDir, { recursive: true, force: true }));
  const port = await findFreePort();
  const { ADMIN_API_KEY, ORIGIN_TOKENS } = loadSecrets(dataDir, {});
  const env = {
    ...{ HOST: "127.0.0.1", PORT: String(port), DATA_DIR: dataDir, ADMIN_API_KEY, EDGE_VARS: JSON.stringify(options.vars ?? {}) },
    ...(options.wrapper === undefined ? {} : { EDGE_WRAPPER: options.wrapper }),
    ...(part === undefined ? {} : { EDGE_ROLE: part.role }),
  };
  const start = async () => {
    const server = new ServerProcess(process.execPath, [fileURLToPath(new URL("./bare-edge-process.ts", import.meta.url))], env);
    cleanup.add(() => server.stop());
    await server.ready();
    return server;
  };
  let server = await start();
  const site = `http://127.0.0.1:${port}`;
  const api = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`${site}/api/v1${path}`, {
      method,
      headers: { Authorization: `Bearer ${ADMIN_API_KEY}`, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} was answered ${answer.status}: ${text}`);
    return text === "" ? null : (JSON.parse(text) as unknown);
  };
  return {
    site,
    dataDir,
    get pid() {
      return server.pid;
    },
    originToken: ORIGIN_TOKENS,
    apiKey: ADMIN_API_KEY,
    api,
    createStream: async (fields) => (await api("POST", "/streams", fields)) as StreamResource & { stream_key: string },
    kill: () => process.kill(-server.pid, "SIGKILL"),
    restart: async () => {
      server = await start();
    },
  };
}
