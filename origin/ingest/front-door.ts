import { createServer, type Server, type Socket } from "node:net";
import type { Log } from "../log.ts";
import type { IngestChild, UnreadEncoder } from "./child-process.ts";
import type { IngestLimits } from "./limits.ts";

const BACKLOG = 511;
/** A machine without descriptors fails many connections a second; one line tells it. */
const COMPLAINT_EVERY_MS = 1_000;

/**
 * Listens for encoders and hands each connection, unread, to the ingest process that has the fewest. The origin keeps the ports:
 * they stay open whatever dies, connections spread evenly, and the limits count over all processes. It reads no byte of a stranger.
 */
export class FrontDoor {
  readonly #limits: IngestLimits;
  readonly #log: Log;
  readonly #children: readonly IngestChild[];
  readonly #servers: Server[] = [];
  readonly #perAddress = new Map<string, number>();
  /** Connections that came while no process was there to take them. */
  readonly #waiting = new Map<UnreadEncoder, NodeJS.Timeout>();
  #connections = 0;
  #isClosed = false;
  #complainedAt = Number.NEGATIVE_INFINITY;

  constructor(children: readonly IngestChild[], limits: IngestLimits, log: Log) {
    this.#children = children;
    this.#limits = limits;
    this.#log = log;
  }

  /** Connections that are open, on all ports. */
  get connections(): number {
    return this.#connections;
  }

  /** Resolves with the port once it accepts. Rejects, with words for an operator, where it can't. */
  listen(port: number, bind: string | undefined, secure: boolean): Promise<number> {
    const server = createServer({ pauseOnConnect: true }, (socket) => this.#admit(socket, secure));
    this.#servers.push(server);
    return new Promise((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => reject(new Error(describeFailure(port, bind, secure, error.code))));
      server.listen({ port, host: bind, backlog: BACKLOG }, () => {
        server.on("error", (error: NodeJS.ErrnoException) => this.#complain(error.code ?? error.name));
        const bound = server.address();
        if (bound && typeof bound === "object") resolve(bound.port);
      });
    });
  }

  /** A process takes encoders again: it gets those that waited. */
  serveWaiting(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [encoder, patience] of waiting) {
      clearTimeout(patience);
      this.dispatch(encoder);
    }
  }

  /** Gives an encoder that was admitted to a process, or lets it wait for one. */
  dispatch(encoder: UnreadEncoder): void {
    const [child] = this.#children
      .filter(({ takesEncoders }) => takesEncoders)
      .sort((a, b) => Number(a.isSilent) - Number(b.isSilent) || a.connections - b.connections);
    if (child) child.take(encoder);
    else if (this.#isClosed) this.#drop(encoder);
    else
      this.#waiting.set(
        encoder,
        setTimeout(() => this.#drop(encoder), this.#limits.handshakeMs),
      );
  }

  /** A connection of that address is gone. */
  release(address: string): void {
    this.#connections -= 1;
    const left = (this.#perAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#perAddress.set(address, left);
    else this.#perAddress.delete(address);
  }

  /** Takes no more connections and drops those that no process has. */
  close(): void {
    this.#isClosed = true;
    for (const server of this.#servers) server.close();
    for (const encoder of [...this.#waiting.keys()]) this.#drop(encoder);
  }

  #admit(socket: Socket, secure: boolean): void {
    socket.on("error", () => {});
    const address = socket.remoteAddress?.replace(/^::ffff:/, "");
    if (address === undefined) return void socket.destroy();
    const ofAddress = this.#perAddress.get(address) ?? 0;
    if (this.#connections >= this.#limits.connections || ofAddress >= this.#limits.connectionsPerAddress) {
      this.#log.debug({ address, connections: this.#connections, of_address: ofAddress }, "encoder turned away: too many connections");
      socket.destroy();
      return;
    }
    this.#connections += 1;
    this.#perAddress.set(address, ofAddress + 1);
    this.dispatch({ socket, address, secure });
  }

  #drop(encoder: UnreadEncoder): void {
    clearTimeout(this.#waiting.get(encoder));
    this.#waiting.delete(encoder);
    encoder.socket.destroy();
    this.release(encoder.address);
  }

  #complain(code: string): void {
    const now = performance.now();
    if (now - this.#complainedAt < COMPLAINT_EVERY_MS) return;
    this.#complainedAt = now;
    this.#log.warn({ code }, "ingest could not take a connection");
  }
}

function describeFailure(port: number, bind: string | undefined, secure: boolean, code = "unknown"): string {
  const name = secure ? "RTMPS" : "RTMP";
  if (code === "EADDRINUSE") return `${name} port ${port} is already in use.`;
  if (code === "EACCES") return `${name} port ${port} may not be opened by this user.`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") return `This machine has no address ${bind} to take ${name} on.`;
  return `${name} port ${port} could not be opened (${code}).`;
}
