import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type PartsAnswer, PartsHead } from "../../domain/protocol/origin-link.ts";

/** A call that the edge has answered. */
export interface EdgeCall {
  method: string;
  /** Below `/origin/v1`, with its query. */
  path: string;
  size: number;
  sha256: string;
}

/** Parts that came in one call, as `source/1/0`. */
export interface EdgeBundle {
  parts: string[];
  hasHeartbeat: boolean;
}

/** How a call is answered; null: never. */
export type EdgeAnswer = { status: number; json?: object; delayMs?: number } | null;

/** What an origin talks to, over real sockets, that can be away, hang, be slow and refuse. The rules of the real edge are tested with the real edge. */
export class EdgeServer {
  /** What was answered well, in order. */
  readonly calls: EdgeCall[] = [];
  /** Every call that came, answered or not; the signs of life that an origin asks for are not among them. */
  readonly seen: string[] = [];
  /** Calls with parts that were answered well, in order; each of their parts stands in `calls` as a PUT of its own. */
  readonly bundles: EdgeBundle[] = [];
  probes = 0;
  answer: (method: string, path: string) => EdgeAnswer = () => ({ status: 200, json: {} });
  /** Why a part, `source/1/0`, is refused; null where it is not. */
  refusePart: (name: string) => { status: number; error: string; message: string } | null = () => null;
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
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const method = request.method ?? "";
    const path = (request.url ?? "").replace("/origin/v1", "");
    if (path === "/health") this.probes += 1;
    else this.seen.push(path);
    const answer = this.answer(method, path);
    if (answer === null) return;
    if (answer.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, answer.delayMs));
    let { json } = answer;
    if (answer.status < 300 && path.endsWith("/parts")) json = this.#takeParts(path.slice(0, -"/parts".length), body);
    else if (answer.status < 300 && path !== "/health") this.calls.push({ method, path, size: body.length, sha256: digestOf(body) });
    response.writeHead(answer.status, { "Content-Type": "application/json" });
    response.end(json === undefined ? "" : JSON.stringify(json));
  }

  #takeParts(epoch: string, body: Buffer): PartsAnswer {
    let at = 4 + body.readUInt32BE();
    const { parts, heartbeat } = PartsHead.parse(JSON.parse(body.toString("utf8", 4, at)));
    const names = parts.map(({ rendition, msn, part }) => `${rendition}/${msn}/${part}`);
    this.bundles.push({ parts: names, hasHeartbeat: heartbeat !== null });
    const answers = parts.map(({ size, duration, independent }, index) => {
      const bytes = body.subarray(at, at + size);
      at += size;
      if (bytes.length !== size) throw new Error("the body is shorter than its head says");
      const name = names[index] ?? "";
      const refusal = this.refusePart(name);
      if (refusal !== null) return refusal;
      const path = `${epoch}/${name}?duration=${duration}&independent=${independent ? 1 : 0}`;
      this.calls.push({ method: "PUT", path, size, sha256: digestOf(bytes) });
      return { status: 200 as const };
    });
    if (at !== body.length) throw new Error("the body is longer than its head says");
    return { parts: answers, heartbeat: heartbeat === null ? null : { action: "continue", reason: null } };
  }
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
