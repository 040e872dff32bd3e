import type { BenchRun } from "./figure.ts";
import { call, type Hub, markedFrame } from "./hub.ts";
import { httpDefaults, startNginx } from "./nginx.ts";
import { readProcessTree } from "./process-usage.ts";
import { findFreePort } from "./server-process.ts";

const MODULE = { peer: "nchan", file: "ngx_nchan_module.so", debianPackage: "libnginx-mod-nchan" };
const MAX_SOCKETS = 20_000;

/** Starts nginx with nchan, after installing it where it is missing. Rejects, with words, where that is not possible. */
export async function startNchan(run: BenchRun): Promise<Hub> {
  const port = await findFreePort();
  const site = `http://127.0.0.1:${port}`;
  const isReady = () =>
    call(`${site}/ready`).then(
      () => true,
      () => false,
    );
  const server = await startNginx(MODULE, (directory) => encodeConfiguration(directory, port), isReady, run.cleanup, run.say);
  return {
    name: "nchan",
    targets: (size) => [{ size, target: { site, path: "/subscribe?viewer={viewer}", greets: false, comesBack: false } }],
    send: async (mark) => {
      await call(`${site}/publish`, "POST", markedFrame(mark));
      return { mark, seq: mark };
    },
    // Its number of subscribers is of a channel, and of the last second.
    countViewers: null,
    readMemoryMb: () => readProcessTree(server.pid).reduce((sum, { rssMb }) => sum + rssMb, 0),
  };
}

function encodeConfiguration(directory: string, port: number): string {
  return `worker_rlimit_nofile ${MAX_SOCKETS};
events { worker_connections ${MAX_SOCKETS}; }
http {
  ${httpDefaults(directory)}
  nchan_shared_memory_size 256m;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /ready { return 200; }
    location = /subscribe {
      nchan_subscriber websocket;
      nchan_channel_id audience;
      nchan_subscriber_first_message newest;
    }
    location = /publish {
      nchan_publisher http;
      nchan_channel_id audience;
      nchan_message_buffer_length 100;
      nchan_message_timeout 2m;
    }
  }
}
`;
}
