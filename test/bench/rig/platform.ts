import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CreateStream, StreamResource } from "../../../domain/protocol/api/streams.ts";
import { build, ROOT } from "../../../scripts/local/build.ts";
import { loadSecrets } from "../../../scripts/local/settings.ts";
import type { Cleanup } from "./figure.ts";
import { findFreePort, ServerProcess } from "./server-process.ts";

/** The whole platform as `npm start` runs it, on free ports, with a data directory that goes with it. */
export interface Platform {
  /** `http://127.0.0.1:PORT`. */
  site: string;
  rtmpPort: number;
  edgePid: number;
  originPid: number;
  /** Makes a stream by the API. */
  createStream(title: string, fields?: Partial<CreateStream>): Promise<StreamResource & { stream_key: string }>;
}

/** Builds and starts edge and origin, the origin with `settings` besides its defaults (origin/config.ts), all data below `place`. Rejects where either does not become ready. */
export async function startPlatform(
  cleanup: Cleanup,
  say: (line: string) => void,
  settings: Record<string, string> = {},
  place = tmpdir(),
): Promise<Platform> {
  await build(say);
  const dataDir = mkdtempSync(join(place, "nova-edge-bench-"));
  cleanup.add(() => rmSync(dataDir, { recursive: true, force: true }));
  const port = await findFreePort();
  const rtmpPort = await findFreePort();
  const { ADMIN_API_KEY } = loadSecrets(dataDir, {});
  const env = {
    ...{ HOST: "127.0.0.1", PORT: String(port), RTMP_PORT: String(rtmpPort), PRIVATE_PORT: "0" },
    ...{ DATA_DIR: dataDir, ADMIN_API_KEY, LOG_LEVEL: "warn", ...settings },
  };
  const start = async (script: string) => {
    const server = new ServerProcess(process.execPath, [join(ROOT, "scripts", "local", script)], env);
    cleanup.add(() => server.stop());
    await server.ready();
    return server.pid;
  };
  const edgePid = await start("edge-process.ts");
  const originPid = await start("origin-process.ts");
  const site = `http://127.0.0.1:${port}`;
  const createStream = async (title: string, fields: Partial<CreateStream> = {}) => {
    const answer = await fetch(`${site}/api/v1/streams`, {
      method: "POST",
      headers: { Authorization: `Bearer ${ADMIN_API_KEY}`, "Content-Type": "application/json" },
      body: JSON.stringify({ title, ...fields }),
      signal: AbortSignal.timeout(10_000),
    });
    if (answer.status !== 201) throw new Error(`a stream could not be created: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as StreamResource & { stream_key: string };
  };
  return { site, rtmpPort, edgePid, originPid, createStream };
}
