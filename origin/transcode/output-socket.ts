import { createServer, type Server, type Socket } from "node:net";

/** A unix socket that takes one connection of FFmpeg and hands on what it writes. */
export class OutputSocket {
  readonly #server: Server;
  #connection: Socket | null = null;
  #closed = false;
  #finished: () => void = () => {};
  /** Settles when FFmpeg closed its end, or `close` was called. */
  readonly finished: Promise<void> = new Promise((resolve) => {
    this.#finished = resolve;
  });

  private constructor(server: Server, onBytes: (bytes: Buffer) => void) {
    this.#server = server;
    server.on("connection", (socket) => {
      if (this.#connection !== null || this.#closed) {
        socket.destroy();
        return;
      }
      this.#connection = socket;
      server.close();
      socket.on("data", (bytes) => {
        if (!this.#closed) onBytes(bytes);
      });
      // The close that follows tells the rest.
      socket.on("error", () => {});
      socket.on("close", () => this.#finished());
    });
  }

  /** Listens at `path`, which must lie in a private directory. Rejects where it cannot. */
  static async listen(path: string, onBytes: (bytes: Buffer) => void): Promise<OutputSocket> {
    const server = createServer();
    const output = new OutputSocket(server, onBytes);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    // Whatever fails from here on shows as a connection that never comes.
    server.removeAllListeners("error").on("error", () => {});
    return output;
  }

  /** Stops listening and hands on nothing more. */
  close(): void {
    this.#closed = true;
    this.#server.close();
    this.#connection?.destroy();
    this.#finished();
  }

  /** Whether FFmpeg has connected. */
  get isConnected(): boolean {
    return this.#connection !== null;
  }
}
