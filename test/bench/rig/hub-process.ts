import { createServer, type ServerResponse } from "node:http";
import { endWithSupervisor, report } from "../../../scripts/local/child.ts";

/**
 * The least that can hold requests: `PUT /playlist` sets what all are answered with, `GET /playlist` waits, `PUT /part` takes bytes and answers
 * everybody who waits. Any other request is answered at once.
 */
let playlist = Buffer.alloc(0);
let waiting: ServerResponse[] = [];

const server = createServer((request, response) => {
  if (request.method === "GET" && request.url === "/playlist") {
    waiting.push(response);
    return;
  }
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    if (request.method === "PUT" && request.url === "/playlist") playlist = Buffer.concat(chunks);
    if (request.method === "PUT" && request.url === "/part") wake();
    response.end("{}");
  });
});

function wake(): void {
  const woken = waiting;
  waiting = [];
  for (const response of woken) {
    response.writeHead(200, { "Content-Type": "application/vnd.apple.mpegurl", "Content-Length": playlist.length });
    response.end(playlist);
  }
}

server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT), "127.0.0.1", () => report({ ready: {} }));
endWithSupervisor(async () => {
  server.closeAllConnections();
  server.close();
});
