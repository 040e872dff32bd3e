import { createServer } from "node:net";
import nodeMediaServerLogger from "node-media-server/src/core/logger.js";
import { createLog } from "../log.ts";
import { EncoderConnection } from "./encoder-connection.ts";
import { ALIVE_EVERY_MS, type ProcessOptions, type ProcessReport } from "./process-messages.ts";

/*
 * The ingest process: strangers' bytes are parsed here and nowhere else, so that whatever they do to a parser ends one process that
 * knows no secret and is replaced within a second.
 */

// It prints what encoders send.
nodeMediaServerLogger.log = () => {};

const options = JSON.parse(process.argv[2] ?? "{}") as ProcessOptions;
const log = createLog(options.logLevel);

function report(message: ProcessReport): void {
  if (process.connected) process.send?.(message);
}

// The channel closes when the origin dies, however it dies.
process.on("disconnect", () => process.exit(0));
// A terminal or service manager signals the whole group; when to end is the origin's decision.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
process.on("uncaughtException", (error) => {
  // The stack without its first lines: a message may quote the input.
  const frames = (error.stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
  log.error({ error: error.name, frames }, "ingest process failed");
  process.exit(70);
});

const perAddress = new Map<string, number>();
let connections = 0;

const server = createServer((socket) => {
  const address = (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  const ofAddress = perAddress.get(address) ?? 0;
  if (connections >= options.limits.connections || ofAddress >= options.limits.connectionsPerAddress) {
    log.debug({ address, connections, of_address: ofAddress }, "encoder turned away: too many connections");
    socket.destroy();
    return;
  }
  connections += 1;
  perAddress.set(address, ofAddress + 1);
  socket.once("close", () => {
    connections -= 1;
    const left = (perAddress.get(address) ?? 1) - 1;
    if (left > 0) perAddress.set(address, left);
    else perAddress.delete(address);
  });
  new EncoderConnection(socket, address, { linkPath: options.linkPath, limits: options.limits, log });
});

server.on("error", (error: NodeJS.ErrnoException) => {
  report({ type: "failed", code: error.code ?? error.name });
  // Out of descriptors is a refusal to one client; not being able to listen is the end.
  if (!server.listening) process.disconnect();
});

server.listen({ port: options.port, host: options.bind ?? undefined, backlog: 511 }, () => {
  const bound = server.address();
  if (bound && typeof bound === "object") report({ type: "listening", port: bound.port });
  setInterval(() => report({ type: "alive" }), ALIVE_EVERY_MS);
});
