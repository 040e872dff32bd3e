import type { ACK_BYTES, CloseCode, PING_INTERVAL_MS } from "../../../domain/protocol/events.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { computeBackoff, computeFaultBackoff } from "./backoff.ts";
import { browserEnvironment } from "./browser-environment.ts";
import { isKnownFrame, parseFrame } from "./frame.ts";
import type { PlaybackReport } from "./playback-report.ts";
import { PlaybackReports } from "./playback-reports.ts";
import { Sequence } from "./sequence.ts";
import type { SocketEnvironment, SocketLike } from "./socket-environment.ts";
import type { StreamEventData, StreamFrame } from "./stream-events.ts";
import { Timers } from "./timers.ts";

export { makeViewerId, streamSocketUrl } from "./address.ts";
export type { PlaybackReport } from "./playback-report.ts";
export type { SocketEnvironment, SocketLike } from "./socket-environment.ts";
export type { StreamEventData, StreamFrame } from "./stream-events.ts";

// Only the types are imported, so that the schemas beside them stay out of the module; the compiler holds the values equal.
const REPLACED: (typeof CloseCode)["replaced"] = 4001;
const FAULTS: ReadonlySet<number> = new Set<
  (typeof CloseCode)["unsupported"] | (typeof CloseCode)["invalid"] | (typeof CloseCode)["rate"] | (typeof CloseCode)["tooBig"]
>([1003, 1007, 1008, 1009]);
const PING_MS: typeof PING_INTERVAL_MS = 25_000;
const ACK_EVERY_BYTES: typeof ACK_BYTES = 16_384;

const MIN_PING_MS = 1_000;
const PONG_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** A socket that lived this long was healthy: its end starts the backoff anew. */
const STABLE_MS = 5_000;
/** `WebSocket.OPEN` */
const OPEN = 1;

/** `closed`: a retry follows by itself, unless `close` was called. `replaced`: another place took this viewer id; shut until `connect`. */
export type SocketStatus = "connecting" | "open" | "closed" | "replaced";

/** What a `StreamSocket` tells its owner. */
export interface StreamSocketHandlers {
  /** Every frame but gaps, each event once and in order; `connection_established` after each reconnection, too. */
  onFrame(frame: Exclude<StreamFrame, { event: "gap" }>): void;
  onStatus?(status: SocketStatus): void;
  /** Events were missed and cannot be had. The greeting before it says what the stream does now. */
  onGap?(gap: StreamEventData["gap"]): void;
  /** A socket closed before it opened: the server is away, or refuses. A browser does not say which. */
  onRefused?(): void;
}

/** The socket of one stream: pings, acknowledges, finds out that the line is dead, and reconnects without losing an event until `close`. */
export class StreamSocket {
  readonly #url: () => string;
  readonly #handlers: StreamSocketHandlers;
  readonly #environment: SocketEnvironment;
  readonly #timers: Timers<"retry" | "ping" | "deadline" | "ack" | "report">;
  readonly #sequence = new Sequence();
  readonly #acknowledgements = new Acknowledgements();
  readonly #reports: PlaybackReports;
  #socket: SocketLike | null = null;
  #status: SocketStatus = "closed";
  #attempt = 0;
  #openedAt: number | null = null;
  #pingMs: number = PING_MS;
  #stopWaking: (() => void) | null = null;

  /**
   * @param url absolute `ws:` or `wss:` address, see `streamSocketUrl`; a function is asked anew for each attempt
   * @param environment replaces parts of the browser's, for tests
   */
  constructor(url: string | (() => string), handlers: StreamSocketHandlers, environment: Partial<SocketEnvironment> = {}) {
    this.#url = typeof url === "string" ? () => url : url;
    this.#handlers = handlers;
    this.#environment = { ...browserEnvironment(), ...environment };
    this.#timers = new Timers(this.#environment);
    this.#reports = new PlaybackReports(this.#environment.random);
  }

  get status(): SocketStatus {
    return this.#status;
  }

  /** Connects at once, whatever the backoff says. */
  connect(): void {
    this.#stopWaking ??= this.#environment.onWake(() => this.#wake());
    this.#open();
  }

  /** Closes for good; `connect` opens again. */
  close(): void {
    this.#rest("closed");
  }

  /** What the player does; null while nothing plays. Call it as often as you like: it is sent seldom, and only where it says something new. */
  reportPlayback(report: PlaybackReport | null): void {
    this.#reports.set(report);
    this.#scheduleReport();
  }

  #open(): void {
    this.#drop();
    const { WebSocket } = this.#environment;
    const socket = new WebSocket(this.#address());
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code }) => this.#closed(code);
    this.#timers.set("deadline", CONNECT_TIMEOUT_MS, () => this.#lost());
    this.#setStatus("connecting");
  }

  #address(): string {
    const url = new URL(this.#url());
    const { resumePoint } = this.#sequence;
    if (resumePoint !== null) url.searchParams.set("resume", resumePoint);
    return url.href;
  }

  #opened(): void {
    const now = this.#environment.now();
    this.#timers.clear("deadline");
    this.#openedAt = now;
    this.#pingMs = PING_MS;
    this.#acknowledgements.restart();
    this.#reports.restart(now);
    this.#setPing();
    this.#setStatus("open");
    this.#scheduleReport();
  }

  #heard(data: unknown): void {
    this.#timers.clear("deadline");
    if (typeof data !== "string" || data === "pong") return;
    const frame = parseFrame(data);
    const place = frame === null ? "old" : this.#sequence.take(frame);
    if (place === "hole") return this.#lost();
    this.#acknowledgements.read(data.length);
    if (frame !== null && place === "next" && isKnownFrame(frame)) this.#tell(frame);
    this.#scheduleAck();
  }

  #tell(frame: StreamFrame): void {
    if (frame.event === "gap") return this.#handlers.onGap?.(frame.data);
    if (frame.event === "connection_established") {
      const { ping_interval_ms: pingMs = PING_MS, ack_bytes: ackBytes = ACK_EVERY_BYTES } = frame.data;
      this.#acknowledgements.expectEvery(ackBytes);
      this.#pingMs = Math.max(MIN_PING_MS, pingMs);
      this.#setPing();
    }
    this.#handlers.onFrame(frame);
  }

  #closed(code: number): void {
    if (code === REPLACED) return this.#rest("replaced");
    this.#lost(FAULTS.has(code) ? computeFaultBackoff(this.#environment.random()) : undefined);
  }

  /** The socket is of no more use: another follows. */
  #lost(delayMs?: number): void {
    const { now, random, isHidden } = this.#environment;
    const wasOpen = this.#openedAt !== null;
    if (this.#openedAt !== null && now() - this.#openedAt >= STABLE_MS) this.#attempt = 0;
    this.#drop();
    const backoffMs = computeBackoff(this.#attempt++, random(), isHidden());
    this.#timers.set("retry", delayMs ?? backoffMs, () => this.#open());
    this.#setStatus("closed");
    if (!wasOpen) this.#handlers.onRefused?.();
  }

  /** The network or the page came back: a waiting retry runs now, an open socket proves that it lives. */
  #wake(): void {
    if (this.#timers.has("retry")) this.#open();
    else if (this.#status === "open") this.#ping();
  }

  #setPing(): void {
    this.#timers.set("ping", this.#pingMs, () => this.#ping());
  }

  #ping(): void {
    this.#setPing();
    if (!this.#send("ping")) return;
    this.#timers.set("deadline", PONG_TIMEOUT_MS, () => this.#lost());
  }

  #scheduleAck(): void {
    const { dueAt } = this.#acknowledgements;
    if (dueAt === null || this.#timers.has("ack")) return;
    const waitMs = dueAt - this.#environment.now();
    if (waitMs <= 0) this.#acknowledge();
    else this.#timers.set("ack", waitMs, () => this.#acknowledge());
  }

  #acknowledge(): void {
    const { seq } = this.#sequence;
    if (seq !== null && this.#send(JSON.stringify({ type: "ack", seq }))) this.#acknowledgements.sent(this.#environment.now());
  }

  #scheduleReport(): void {
    const { dueAt } = this.#reports;
    if (this.#status !== "open" || dueAt === null) return this.#timers.clear("report");
    const now = this.#environment.now();
    if (dueAt > now) return this.#timers.set("report", dueAt - now, () => this.#scheduleReport());
    const frame = this.#reports.take(now);
    if (frame !== null && this.#send(JSON.stringify(frame))) this.#scheduleReport();
  }

  #send(text: string): boolean {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  /** Shut until `connect`. */
  #rest(status: "closed" | "replaced"): void {
    this.#drop();
    this.#stopWaking?.();
    this.#stopWaking = null;
    this.#attempt = 0;
    this.#setStatus(status);
  }

  /** Forgets the socket: what it still says is not heard. */
  #drop(): void {
    this.#timers.clearAll();
    this.#openedAt = null;
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #setStatus(status: SocketStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#handlers.onStatus?.(status);
  }
}
