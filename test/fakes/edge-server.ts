import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** A call that the edge has answered. */
export interface EdgeCall {
  method: string;
  /** Below `/origin/v1`, with its query. */
  path: string;
  size: number;
  sha256: string;
}

/** How a call is answered; null: never. */
export type EdgeAnswer = { status: number; json?: object; delayMs?: number } | null;

/** What an origin talks to, over real sockets, that can be away, hang, be slow and refuse. The rules of the real edge are tested with the real edge. */
export class EdgeServer {
  /** What was answered well, in order. */
  readonly calls: EdgeCall[] = [];
  /** Every call that came, answered or not; the signs of life that an origin asks for are not among them. */
  readonly seen: string[] = [];
  probes = 0;
  answer: (method: string, path: string) => EdgeAnswer = () => ({ status: 200, json: {} });
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;

  constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response).catch(() => response.destroy()));
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Paths of the media that is here, of one rendition: segments, or parts. */
  media(rendition: string, what: "segments" | "parts"): string[] {
    const pattern = what === "segments" ? /^\/[^/]+\/\d+\/([^/]+)\/(\d+)\?(.*)$/ : /^\/[^/]+\/\d+\/([^/]+)\/(\d+\/\d+)\?(.*)$/;
    return this.calls.flatMap(({ path }) => {
      const [, name, number, query] = pattern.exec(path) ?? [];
      return name === rendition && number !== undefined ? [query?.includes("gap=1") ? `${number} gap` : number] : [];
    });
  }

  /** Answers from now on, at the same port as before. */
  async start(): Promise<void> {
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Is away from now on: connections break, and new ones are refused. */
  async stop(): Promise<void> {
    this.#server.close();
    this.breakConnections();
    if (this.#server.listening) await once(this.#server, "close");
  }

  /** Loses what is under way, and goes on. */
  breakConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      hash.update(chunk);
      size += chunk.length;
    }
    const method = request.method ?? "";
    const path = (request.url ?? "").replace("/origin/v1", "");
    if (path === "/health") this.probes += 1;
    else this.seen.push(path);
    const answer = this.answer(method, path);
    if (answer === null) return;
    if (answer.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, answer.delayMs));
    if (answer.status < 300 && path !== "/health") this.calls.push({ method, path, size, sha256: hash.digest("hex") });
    response.writeHead(answer.status, { "Content-Type": "application/json" });
    response.end(answer.json === undefined ? "" : JSON.stringify(answer.json));
  }
}
