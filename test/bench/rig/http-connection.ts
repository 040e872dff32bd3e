import { connect, type Socket } from "node:net";
import { monotonicMs } from "./monotonic.ts";

/** An answer, read to its end. */
export interface Reply {
  status: number;
  /** The header's value; empty where there is none. */
  cacheStatus: string;
  body: Buffer;
  /** When its last byte had arrived, by `monotonicMs()`. */
  at: number;
}

/** What is asked. */
export interface HttpRequest {
  method: string;
  path: string;
  headers?: Record<string, string>;
  /** Text; without one there is no body. */
  body?: string;
}

const EMPTY = Buffer.alloc(0);
const HEAD_END = "\r\n\r\n";

/**
 * One kept-alive HTTP/1.1 connection, one request at a time, uncompressed. Knows as much of HTTP as the platform's answers need, so that a
 * thousand of them leave the processor to the server.
 */
export class HttpConnection {
  readonly #socket: Socket;
  readonly #host: string;
  #waiting: PromiseWithResolvers<Reply> | null = null;
  #chunks: Buffer[] = [];
  #length = 0;
  /** How many bytes the answer has, once its head says so. */
  #expected = 0;
  #closed = false;

  /** `site` is `http://HOST:PORT`. */
  constructor(site: string) {
    const { hostname, port, host } = new URL(site);
    this.#host = host;
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#socket.on("data", (chunk) => this.#read(chunk));
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => {
      this.#closed = true;
      this.#waiting?.reject(new Error("the connection was closed"));
      this.#waiting = null;
    });
  }

  /** A request is under way, and no answer has come. */
  get isWaiting(): boolean {
    return this.#waiting !== null && this.#length === 0;
  }

  /** Asks for a path. Rejects when the connection closes, and where the last request is not answered yet. */
  get(path: string): Promise<Reply> {
    return this.send({ method: "GET", path });
  }

  /** The same with any request whose answer has a body. */
  send({ method, path, headers = {}, body = "" }: HttpRequest): Promise<Reply> {
    if (this.#closed) return Promise.reject(new Error("the connection is closed"));
    if (this.#waiting !== null) return Promise.reject(new Error("one request at a time"));
    this.#waiting = Promise.withResolvers<Reply>();
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    if (body !== "") lines.push(`Content-Length: ${Buffer.byteLength(body)}\r\n`);
    this.#socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${lines.join("")}\r\n${body}`);
    return this.#waiting.promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#expected) return;
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#length);
    this.#chunks = [bytes];
    const headEnd = bytes.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = bytes.toString("latin1", 0, headEnd);
    const start = headEnd + HEAD_END.length;
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length !== undefined) this.#expected = start + Number(length);
    const body = length === undefined ? decodeChunks(bytes, start) : this.#length >= this.#expected ? bytes.subarray(start) : null;
    if (body !== null) this.#settle(head, body);
  }

  #settle(head: string, body: Buffer): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#chunks = [];
    this.#length = 0;
    this.#expected = 0;
    const cacheStatus = /\r\ncache-status: *([^\r]*)/i.exec(head)?.[1] ?? "";
    waiting?.resolve({ status: Number(head.slice(9, 12)), cacheStatus, body, at: monotonicMs() });
  }
}

/** A body in chunks (rfc9112 §7.1) from an offset on; null while it is not whole. */
function decodeChunks(bytes: Buffer, offset: number): Buffer | null {
  const chunks: Buffer[] = [];
  for (let at = offset; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const next = lineEnd + 2 + size + 2;
    if (bytes.length < next) return null;
    if (size === 0) return chunks.length === 0 ? EMPTY : Buffer.concat(chunks);
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = next;
  }
}
