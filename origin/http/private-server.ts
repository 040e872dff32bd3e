import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Log } from "../log.ts";
import type { OriginMetrics } from "../metrics/origin-metrics.ts";
import type { OriginStatus, Readiness } from "../status.ts";
import { isPrivateHost } from "./private-host.ts";

/** What the private server asks of the origin. */
export interface ControlledOrigin {
  status(): OriginStatus;
  readiness(): Readiness;
  /** Takes no more publishes, and ends the live ones after so many seconds, or as many as are set. */
  drain(seconds?: number): void;
  /** Takes publishes again. */
  resume(): void;
}

/** How a private server is wired. */
export interface PrivateServerOptions {
  host: string;
  /** 0 takes any free port. */
  port: number;
  log: Log;
  metrics: OriginMetrics;
  origin: ControlledOrigin;
}

interface Answer {
  status: number;
  type: string;
  body: string;
  headers?: Record<string, string>;
}

type Handler = (query: URLSearchParams) => Answer | Promise<Answer>;

const JSON_TYPE = "application/json; charset=utf-8";
const MOST_CONNECTIONS = 64;
const REQUEST_MS = 5_000;
const LONGEST_DRAIN_SECONDS = 86_400;

/** Health, metrics, status and draining for operators and their machines. Whoever reaches it may use it, so its network has to be private. */
export class PrivateServer {
  readonly #options: PrivateServerOptions;
  readonly #server: Server;
  readonly #routes: Record<string, Record<string, Handler>>;

  constructor(options: PrivateServerOptions) {
    this.#options = options;
    this.#server = createServer(
      { maxHeaderSize: 8192, requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.keepAliveTimeout = REQUEST_MS;
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#routes = {
      "/healthz": { GET: () => this.#health() },
      "/readyz": { GET: () => this.#readiness() },
      "/metrics": { GET: async () => ({ status: 200, type: options.metrics.contentType, body: await options.metrics.text() }) },
      "/status": { GET: () => json(200, options.origin.status()) },
      "/drain": { POST: (query) => this.#drain(query), DELETE: () => this.#resume() },
    };
  }

  /** Resolves with the port; rejects in words for an operator. */
  start(): Promise<{ port: number }> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", (error: NodeJS.ErrnoException) => reject(new Error(describeFailure(host, port, error.code))));
      this.#server.listen(port, host, () => resolve({ port: (this.#server.address() as AddressInfo).port }));
    });
  }

  /** Answers nobody any more. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#answer(request).catch((error: unknown) => {
      this.#options.log.error({ path: pathOf(request), error: String(error) }, "a private request failed");
      return refuse(500, "internal_error", "the origin failed to answer: its log has more");
    });
    // No body is ever read.
    request.resume();
    response.writeHead(answer.status, {
      ...answer.headers,
      "Content-Type": answer.type,
      "Content-Length": Buffer.byteLength(answer.body),
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    });
    response.end(answer.body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const foreign = this.#foreign(request);
    if (foreign !== null) return refuse(403, "forbidden", foreign);
    const route = Object.hasOwn(this.#routes, pathOf(request)) ? this.#routes[pathOf(request)] : undefined;
    if (route === undefined) return refuse(404, "not_found", `nothing is here; there are ${Object.keys(this.#routes).join(", ")}`);
    const method = request.method === "HEAD" ? "GET" : (request.method ?? "");
    const handler = Object.hasOwn(route, method) ? route[method] : undefined;
    if (handler === undefined) {
      const allowed = Object.keys(route).join(", ");
      return { ...refuse(405, "method_not_allowed", `this takes ${allowed}`), headers: { Allow: allowed } };
    }
    return handler(new URLSearchParams(request.url?.split("?")[1] ?? ""));
  }

  /** Browsers have no business here: a page must neither drain an origin nor read its status. */
  #foreign({ headers }: IncomingMessage): string | null {
    const site = headers["sec-fetch-site"];
    if (headers.origin !== undefined || (site !== undefined && site !== "none" && site !== "same-origin")) {
      return "pages of other sites may not call this server";
    }
    if (isPrivateHost(headers.host, this.#options.host)) return null;
    return "this server is asked for by an address or a name of its own network, not by the one in Host";
  }

  #health(): Answer {
    const { pids } = this.#options.origin.status().ingest;
    if (pids.length > 0) return { status: 200, type: "text/plain; charset=utf-8", body: "ok\n" };
    return { status: 503, type: "text/plain; charset=utf-8", body: "no ingest process lives: encoders cannot connect\n" };
  }

  #readiness(): Answer {
    const readiness = this.#options.origin.readiness();
    return json(readiness.ready ? 200 : 503, readiness);
  }

  #drain(query: URLSearchParams): Answer {
    const { origin, log } = this.#options;
    const text = query.get("seconds");
    if (text !== null && (!/^\d{1,5}$/.test(text) || Number(text) > LONGEST_DRAIN_SECONDS)) {
      return refuse(400, "invalid_request", `seconds is a whole number from 0 to ${LONGEST_DRAIN_SECONDS}`);
    }
    origin.drain(text === null ? undefined : Number(text));
    log.info({ seconds: text === null ? null : Number(text) }, "asked to drain");
    return this.#draining(202);
  }

  #resume(): Answer {
    this.#options.origin.resume();
    this.#options.log.info({}, "asked to take publishes again");
    return this.#draining(200);
  }

  #draining(status: number): Answer {
    const { draining, drainDeadline, streams } = this.#options.origin.status();
    return json(status, { draining, drainDeadline, streams: streams.length });
  }
}

function pathOf(request: IncomingMessage): string {
  return request.url?.split("?")[0] ?? "";
}

function json(status: number, value: object): Answer {
  return { status, type: JSON_TYPE, body: `${JSON.stringify(value)}\n` };
}

function refuse(status: number, error: string, message: string): Answer {
  return json(status, { error, message });
}

function describeFailure(host: string, port: number, code: string | undefined): string {
  if (code === "EADDRINUSE") return `the private port ${port} is already in use: set PRIVATE_PORT to another one`;
  if (code === "EACCES") return `the private port ${port} may not be opened by this user: set PRIVATE_PORT to one from 1024 on`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") return `this machine has no address ${host}: set PRIVATE_HOST to one that it has`;
  return `the private port ${port} could not be opened (${code ?? "unknown reason"})`;
}
