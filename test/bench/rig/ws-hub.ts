import { fileURLToPath } from "node:url";
import type { BenchRun } from "./figure.ts";
import { call, type FragileHub, markedFrame } from "./hub.ts";
import { readProcessTree } from "./process-usage.ts";
import { findFreePort, ServerProcess } from "./server-process.ts";

/** Starts the `ws` package's hub in a Node process. */
export async function startWsHub(comesBack: boolean, run: BenchRun): Promise<FragileHub> {
  const port = await findFreePort();
  const site = `http://127.0.0.1:${port}`;
  const script = fileURLToPath(new URL("./ws-hub-process.ts", import.meta.url));
  const start = async () => {
    const server = new ServerProcess(process.execPath, [script], { PORT: String(port) });
    run.cleanup.add(() => server.stop());
    await server.ready();
    return server;
  };
  let server = await start();
  return {
    name: "ws",
    targets: (size) => [{ size, target: { site, path: "/ws?viewer={viewer}", greets: true, comesBack } }],
    send: async (mark) => ({ mark, seq: ((await call(`${site}/messages`, "POST", markedFrame(mark))) as { seq: number }).seq }),
    countViewers: async () => ((await call(`${site}/viewers`)) as { viewers: number }).viewers,
    readMemoryMb: () => readProcessTree(server.pid).reduce((sum, { rssMb }) => sum + rssMb, 0),
    kill: () => process.kill(-server.pid, "SIGKILL"),
    restart: async () => {
      server = await start();
    },
    countReads: null,
  };
}
