import { computeBackoff } from "../../../workers/web/client/backoff.ts";
import { type EventFrame, EventLedger } from "./event-ledger.ts";
import { monotonicMs } from "./monotonic.ts";
import { BareWebSocket } from "./websocket.ts";

/** Where and how clients connect. */
export interface ClientTarget {
  site: string;
  /** With `{viewer}` for the client's id. */
  path: string;
  /** Whether the server speaks the protocol of a stream's WebSocket, or sends messages and nothing else. */
  greets: boolean;
  /** Whether a client that lost its socket comes back as the watch page does. */
  comesBack: boolean;
}

/** What happens to a client. */
export interface ClientEvents {
  /** It is in: greeted, where servers greet. `at`: by `monotonicMs()`. */
  joined(at: number): void;
  /** A marked message arrived, for the first time. */
  marked(mark: number, at: number): void;
  /** Its socket ended, and it had not left. */
  lost(reason: string): void;
}

const PING_INTERVAL_MS = 25_000;
const ACK_INTERVAL_MS = 1_000;
/** A socket that lived this long was healthy: its end starts the backoff anew. */
const STABLE_MS = 5_000;
const CONNECT_TIMEOUT_MS = 10_000;
const LEAVE_TIMEOUT_MS = 3_000;

/** One viewer that keeps to the protocol: pings, acknowledges, follows the numbers, comes back with `resume`. */
export class AudienceClient {
  readonly ledger = new EventLedger();
  readonly #target: ClientTarget;
  readonly #viewer: string;
  readonly #events: ClientEvents;
  #socket: BareWebSocket | null = null;
  #isIn = false;
  #ping: NodeJS.Timeout | null = null;
  #deadline: NodeJS.Timeout | null = null;
  #joinedAt = 0;
  #attempt = 0;
  #ackBytes = Number.POSITIVE_INFINITY;
  #unacknowledged = 0;
  #acknowledgedAt = 0;
  #left: (() => void) | null = null;

  constructor(target: ClientTarget, viewer: string, events: ClientEvents) {
    this.#target = target;
    this.#viewer = viewer;
    this.#events = events;
  }

  get isIn(): boolean {
    return this.#isIn;
  }

  connect(): void {
    const { site, path, greets } = this.#target;
    const { resumePoint } = this.ledger;
    const resume = resumePoint === null ? "" : `&resume=${resumePoint}`;
    if (this.#target.comesBack) this.#deadline = setTimeout(() => this.#socket?.abort(), CONNECT_TIMEOUT_MS);
    this.#socket = new BareWebSocket(site, path.replace("{viewer}", this.#viewer) + resume, {
      open: (at) => {
        this.#ping = setInterval(() => (greets ? this.#socket?.send("ping") : this.#socket?.ping()), PING_INTERVAL_MS);
        if (!greets) this.#join(at);
      },
      text: (text, at) => this.#read(text, at),
      closed: (reason) => this.#closed(reason),
    });
  }

  /** Leaves for good. Resolves when the connection is closed, with whether the server has answered; where it does not, after 3 s. */
  leave(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = this.#socket;
      if (socket === null) return resolve(true);
      let isAnswered = true;
      const deadline = setTimeout(() => {
        isAnswered = false;
        socket.abort();
      }, LEAVE_TIMEOUT_MS);
      this.#left = () => {
        clearTimeout(deadline);
        resolve(isAnswered);
      };
      socket.close();
    });
  }

  #join(at: number): void {
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#isIn = true;
    this.#joinedAt = at;
    this.#events.joined(at);
  }

  #read(text: string, at: number): void {
    if (text === "pong") return;
    const frame = JSON.parse(text) as EventFrame;
    const mark = this.ledger.note(frame);
    if (mark !== null) this.#events.marked(mark, at);
    if (frame.event === "connection_established") {
      this.#ackBytes = frame.data.ack_bytes ?? Number.POSITIVE_INFINITY;
      this.#unacknowledged = 0;
      this.#join(at);
    }
    this.#unacknowledged += text.length;
    if (this.#unacknowledged >= this.#ackBytes && at - this.#acknowledgedAt >= ACK_INTERVAL_MS) this.#acknowledge(at);
  }

  #acknowledge(at: number): void {
    this.#socket?.send(JSON.stringify({ type: "ack", seq: this.ledger.seq }));
    this.#unacknowledged = 0;
    this.#acknowledgedAt = at;
  }

  #closed(reason: string): void {
    if (this.#ping !== null) clearInterval(this.#ping);
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#socket = null;
    if (this.#isIn && monotonicMs() - this.#joinedAt >= STABLE_MS) this.#attempt = 0;
    this.#isIn = false;
    if (this.#left !== null) return this.#left();
    this.#events.lost(reason);
    if (!this.#target.comesBack) return;
    setTimeout(() => this.connect(), computeBackoff(this.#attempt++, Math.random()));
  }
}
