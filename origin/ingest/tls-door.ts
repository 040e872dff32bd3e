import type { Socket } from "node:net";
import { createServer, type Server } from "node:tls";
import type { Certificate } from "./process-messages.ts";

/** The oldest version of TLS that encoders may speak. */
export const OLDEST_TLS = "TLSv1.2";

/** Does the TLS of RTMPS on sockets that are handed to it, with a certificate that may change while connections live. */
export class TlsDoor {
  readonly #handshakeMs: number;
  readonly #onEncoder: (socket: Socket, address: string, elapsedMs: number) => void;
  /** Handshakes that are not over, by the connection they are on. */
  readonly #opened = new Map<string, { address: string; at: number }>();
  #server: Server | null = null;

  /** `onEncoder` gets each socket whose TLS handshake is done within `handshakeMs`, and how long that took. */
  constructor(handshakeMs: number, onEncoder: (socket: Socket, address: string, elapsedMs: number) => void) {
    this.#handshakeMs = handshakeMs;
    this.#onEncoder = onEncoder;
  }

  /** For the handshakes from now on; connections that live keep theirs. */
  setCertificate({ chain, key }: Certificate): void {
    const pair = { cert: chain, key, minVersion: OLDEST_TLS } as const;
    if (this.#server) return this.#server.setSecureContext(pair);
    this.#server = createServer({ ...pair, handshakeTimeout: this.#handshakeMs });
    this.#server.on("secureConnection", (socket) => {
      const key = addressOf(socket);
      const opened = this.#opened.get(key);
      this.#opened.delete(key);
      if (opened) this.#onEncoder(socket, opened.address, performance.now() - opened.at);
      else socket.destroy();
    });
    this.#server.on("tlsClientError", (_, socket) => socket.destroy());
  }

  /** Begins the handshake; a socket that fails it, or comes before there is a certificate, is destroyed. */
  take(socket: Socket, address: string): void {
    const key = addressOf(socket);
    socket.on("error", () => {});
    if (!this.#server || key === "") return void socket.destroy();
    this.#opened.set(key, { address, at: performance.now() });
    socket.once("close", () => this.#opened.delete(key));
    this.#server.emit("connection", socket);
  }
}

/** What tells one open connection from all others; empty for one that is gone. */
function addressOf(socket: Socket): string {
  const { remoteAddress, remotePort, localPort } = socket;
  return remoteAddress === undefined ? "" : `${remoteAddress} ${remotePort} ${localPort}`;
}
