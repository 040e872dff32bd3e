import { readFileSync } from "node:fs";
import { Agent, createServer, request as forward } from "node:http";
import { join } from "node:path";
import { ROOT } from "../../../scripts/local/build.ts";
import type { Cleanup } from "./figure.ts";
import { findFreePort } from "./server-process.ts";

/**
 * Serves a page on which hls.js, with its defaults, plays a stream of the peer, and passes everything else on to the peer: a page and its media
 * on one site, as anybody would set it up. Returns the page's address.
 */
export async function servePeerPage(site: string, playlist: string, cleanup: Cleanup): Promise<string> {
  const script = readFileSync(join(ROOT, "node_modules", "hls.js", "dist", "hls.min.js"));
  const page = `<!doctype html><title>Peer</title><video muted autoplay playsinline></video><script src="/hls.min.js"></script>
    <script>const hls = new Hls(); hls.loadSource("${playlist}"); hls.attachMedia(document.querySelector("video"));</script>`;
  const agent = new Agent({ keepAlive: true });
  const server = createServer((request, response) => {
    if (request.url === "/watch") return response.setHeader("Content-Type", "text/html").end(page);
    if (request.url === "/hls.min.js") return response.setHeader("Content-Type", "text/javascript").end(script);
    const passed = forward(`${site}${request.url}`, { agent }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    passed.end();
  });
  const port = await findFreePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  cleanup.add(() => {
    server.closeAllConnections();
    server.close();
    agent.destroy();
  });
  return `http://127.0.0.1:${port}/watch`;
}
