import { createServer } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import { endWithSupervisor, report } from "../../../scripts/local/child.ts";

/**
 * The usual way to do it by hand: one Node process, `ws`, a map of viewers. `GET /ws?viewer=ID` is a socket, greeted; `POST /messages` is sent
 * to everybody, numbered; `GET /viewers` counts. Nothing is written down.
 */
const instance = crypto.randomUUID();
const viewers = new Map<string, WebSocket>();
let seq = 0;

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const server = createServer((request, response) => {
  if (request.method === "GET") {
    response.end(JSON.stringify({ viewers: viewers.size }));
    return;
  }
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    seq += 1;
    const message = { ...(JSON.parse(Buffer.concat(chunks).toString()) as object), seq };
    const bytes = Buffer.from(JSON.stringify(message));
    for (const socket of viewers.values()) socket.send(bytes, { binary: false });
    response.end(JSON.stringify({ seq }));
  });
});

server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (client) => {
    const viewer = new URL(request.url ?? "/", "http://hub").searchParams.get("viewer") ?? "";
    viewers.get(viewer)?.close(4001);
    viewers.set(viewer, client);
    client.on("message", (message) => {
      if (String(message) === "ping") client.send("pong");
    });
    client.on("close", () => {
      if (viewers.get(viewer) === client) viewers.delete(viewer);
    });
    client.on("error", () => client.terminate());
    client.send(JSON.stringify({ event: "connection_established", seq, data: { instance } }));
  });
});

server.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 }, () => report({ ready: {} }));
endWithSupervisor(async () => {
  for (const socket of viewers.values()) socket.terminate();
  server.close();
});
