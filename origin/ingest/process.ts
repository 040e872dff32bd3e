import { Socket } from "node:net";
import nodeMediaServerLogger from "node-media-server/src/core/logger.js";
import { createLog } from "../log.ts";
import { EncoderConnection } from "./encoder-connection.ts";
import { ALIVE_EVERY_MS, type ProcessOptions, ProcessOrder, type ProcessReport } from "./process-messages.ts";
import { TlsDoor } from "./tls-door.ts";

/*
 * An ingest process: strangers' bytes are parsed here and nowhere else, so that whatever they do to a parser ends one process that
 * knows no secret but the certificate's key, and is replaced within a second.
 */

// It prints what encoders send.
nodeMediaServerLogger.log = () => {};

const { linkPath, logLevel, limits } = JSON.parse(process.argv[2] ?? "{}") as ProcessOptions;
const log = createLog(logLevel);
const tls = new TlsDoor(limits.handshakeMs, (socket, address, elapsedMs) => takeEncoder(socket, address, elapsedMs));

function report(message: ProcessReport): void {
  if (process.connected) process.send?.(message);
}

function takeEncoder(socket: Socket, address: string, elapsedMs: number): void {
  new EncoderConnection(socket, address, { linkPath, limits, log, elapsedMs });
}

// The channel closes when the origin dies, however it dies.
process.on("disconnect", () => process.exit(0));
// A terminal or service manager signals the whole group; when to end is the origin's decision.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});
process.on("uncaughtException", (error) => {
  // The stack without its first lines: a message may quote the input.
  const frames = (error.stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
  log.error({ error: error.name, frames }, "ingest process failed");
  process.exit(70);
});

process.on("message", (message, handle) => {
  const order = ProcessOrder.parse(message);
  if (order.type === "certificate") return tls.setCertificate(order.certificate);
  const { id, address, secure } = order;
  // The encoder may be gone by the time its socket is here.
  if (!(handle instanceof Socket)) return report({ type: "closed", id });
  report({ type: "taken", id });
  handle.once("close", () => report({ type: "closed", id }));
  if (secure) tls.take(handle, address);
  else takeEncoder(handle, address, 0);
});

setInterval(() => report({ type: "alive" }), ALIVE_EVERY_MS);
report({ type: "ready" });
