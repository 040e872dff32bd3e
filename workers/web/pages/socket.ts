import type { CloseCode, PING_INTERVAL_MS, ServerFrame } from "../../../domain/protocol/events.ts";
import { computeBackoff } from "./backoff.ts";
import { parseServerFrame } from "./server-frame.ts";

// Only the types are imported, so that the schemas beside them stay out of the page; the compiler holds the values equal.
const REPLACED: (typeof CloseCode)["replaced"] = 4001;
const PING_MS: typeof PING_INTERVAL_MS = 25_000;
const PONG_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** A socket that lived this long was healthy: its end starts the backoff anew. */
const STABLE_MS = 5_000;

/** `replaced`: another place took this viewer id; the socket stays shut until `connect` is called. */
export type SocketStatus = "connecting" | "open" | "closed" | "replaced";

/** What a `StreamSocket` tells its owner. */
export interface StreamSocketHandlers {
  onFrame(frame: ServerFrame): void;
  onStatus(status: SocketStatus): void;
  /** A socket closed before it opened: the server is away, or refuses. A browser does not say which. */
  onRefused(): void;
}

/** The socket of one stream: pings, finds out that the line is dead, reconnects until `close`. */
export class StreamSocket {
  readonly #makeUrl: () => string;
  readonly #handlers: StreamSocketHandlers;
  #socket: WebSocket | null = null;
  #status: SocketStatus = "closed";
  #attempt = 0;
  #openedAt = 0;
  #timers = { retry: 0, ping: 0, deadline: 0 };

  /** @param makeUrl absolute `ws:` or `wss:` address, asked anew for each attempt */
  constructor(makeUrl: () => string, handlers: StreamSocketHandlers) {
    this.#makeUrl = makeUrl;
    this.#handlers = handlers;
    addEventListener("online", () => this.#wake());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#wake();
    });
  }

  /** Connects at once, whatever the backoff says. */
  connect(): void {
    this.#drop();
    this.#setStatus("connecting");
    const socket = new WebSocket(this.#makeUrl());
    this.#socket = socket;
    this.#openedAt = 0;
    this.#timers.deadline = window.setTimeout(() => this.#lost(), CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      window.clearTimeout(this.#timers.deadline);
      this.#openedAt = performance.now();
      this.#timers.ping = window.setInterval(() => this.#ping(), PING_MS);
      this.#setStatus("open");
    };
    socket.onmessage = ({ data }) => {
      window.clearTimeout(this.#timers.deadline);
      if (typeof data !== "string" || data === "pong") return;
      const frame = parseServerFrame(data);
      if (frame) this.#handlers.onFrame(frame);
    };
    socket.onclose = ({ code }) => {
      if (code !== REPLACED) return this.#lost();
      this.#drop();
      this.#setStatus("replaced");
    };
  }

  /** Closes for good; `connect` opens again. */
  close(): void {
    this.#drop();
    this.#setStatus("closed");
  }

  #ping(): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send("ping");
    window.clearTimeout(this.#timers.deadline);
    this.#timers.deadline = window.setTimeout(() => this.#lost(), PONG_TIMEOUT_MS);
  }

  /** The network or the page came back: a waiting retry runs now, an open socket proves that it lives. */
  #wake(): void {
    if (this.#timers.retry !== 0) this.connect();
    else if (this.#status === "open") this.#ping();
  }

  #lost(): void {
    const opened = this.#openedAt > 0;
    if (opened && performance.now() - this.#openedAt >= STABLE_MS) this.#attempt = 0;
    this.#drop();
    this.#setStatus("closed");
    this.#timers.retry = window.setTimeout(() => this.connect(), computeBackoff(this.#attempt++, Math.random()));
    if (!opened) this.#handlers.onRefused();
  }

  /** Forgets the socket: what it still says is not heard. */
  #drop(): void {
    window.clearTimeout(this.#timers.retry);
    window.clearTimeout(this.#timers.deadline);
    window.clearInterval(this.#timers.ping);
    this.#timers = { retry: 0, ping: 0, deadline: 0 };
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #setStatus(status: SocketStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#handlers.onStatus(status);
  }
}
