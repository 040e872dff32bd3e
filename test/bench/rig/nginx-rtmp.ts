import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Cleanup } from "./figure.ts";
import { httpDefaults, startNginx } from "./nginx.ts";
import { findFreePort } from "./server-process.ts";

/** A running nginx with its RTMP module, which writes HLS with segments of 2 s and serves it. */
export interface NginxRtmp {
  /** Playlists lie at `/NAME.m3u8`. */
  site: string;
  rtmpPort: number;
  pid: number;
}

const MODULE = { peer: "nginx-rtmp", file: "ngx_rtmp_module.so", debianPackage: "libnginx-mod-rtmp" };

/** Starts the peer, after installing it where it is missing. Rejects, with words, where that is not possible. */
export async function startNginxRtmp(cleanup: Cleanup, say: (line: string) => void): Promise<NginxRtmp> {
  const httpPort = await findFreePort();
  const rtmpPort = await findFreePort();
  const isReady = async () => (await accepts(rtmpPort)) && (await accepts(httpPort));
  const { pid } = await startNginx(MODULE, (directory) => encodeConfiguration(directory, httpPort, rtmpPort), isReady, cleanup, say);
  return { site: `http://127.0.0.1:${httpPort}`, rtmpPort, pid };
}

function encodeConfiguration(directory: string, httpPort: number, rtmpPort: number): string {
  mkdirSync(join(directory, "hls"));
  return `events { worker_connections 4096; }
rtmp {
  access_log off;
  server {
    listen 127.0.0.1:${rtmpPort};
    application live {
      live on;
      hls on;
      hls_path ${directory}/hls;
      hls_fragment 2s;
    }
  }
}
http {
  ${httpDefaults(directory)}
  server {
    listen 127.0.0.1:${httpPort};
    root ${directory}/hls;
    log_not_found off;
  }
}
`;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
