import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CreateStream, StreamResource } from "../../../domain/protocol/api.ts";
import { build } from "../../../scripts/local/build.ts";
import { loadSecrets } from "../../../scripts/local/settings.ts";
import type { Cleanup } from "./figure.ts";
import { findFreePort, ServerProcess } from "./server-process.ts";

/** The edge alone, with its Worker bare on a free port: whoever has the token is its origin. */
export interface Edge {
  /** `http://127.0.0.1:PORT`. */
  site: string;
  pid: number;
  originToken: string;
  /** Makes a stream by the API. */
  createStream(fields: Partial<CreateStream> & { title: string }): Promise<StreamResource & { stream_key: string }>;
}

/** Builds and starts an edge with a data directory that goes with it. Rejects where it does not become ready. */
export async function startEdge(cleanup: Cleanup, say: (line: string) => void): Promise<Edge> {
  await build(say);
  const dataDir = mkdtempSync(join(tmpdir(), "nova-edge-bench-"));
  cleanup.add(() => rmSync(dataDir, { recursive: true, force: true }));
  const port = await findFreePort();
  const { ADMIN_API_KEY, ORIGIN_TOKENS } = loadSecrets(dataDir, {});
  const env = { HOST: "127.0.0.1", PORT: String(port), DATA_DIR: dataDir, ADMIN_API_KEY };
  const server = new ServerProcess(process.execPath, [fileURLToPath(new URL("./bare-edge-process.ts", import.meta.url))], env);
  cleanup.add(() => server.stop());
  await server.ready();
  const site = `http://127.0.0.1:${port}`;
  return {
    site,
    pid: server.pid,
    originToken: ORIGIN_TOKENS,
    async createStream(fields) {
      const answer = await fetch(`${site}/api/v1/streams`, {
        method: "POST",
        headers: { Authorization: `Bearer ${ADMIN_API_KEY}`, "Content-Type": "application/json" },
        body: JSON.stringify(fields),
        signal: AbortSignal.timeout(10_000),
      });
      if (answer.status !== 201) throw new Error(`a stream could not be created: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as StreamResource & { stream_key: string };
    },
  };
}
