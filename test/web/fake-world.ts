import type { SocketEnvironment, SocketLike } from "../../workers/web/client/socket-environment.ts";

/** A server's end of a socket, and the client's. */
export class FakeSocket implements SocketLike {
  readonly url: string;
  /** Pings get their pong. */
  answers = true;
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  /** What the client has sent. */
  readonly sent: string[] = [];

  constructor(url: string) {
    this.url = url;
  }

  send(text: string): void {
    if (this.readyState !== 1) throw new Error("not open");
    this.sent.push(text);
  }

  close(): void {
    this.readyState = 3;
  }

  /** The connection is there. */
  open(): void {
    this.readyState = 1;
    (this.onopen as (() => void) | null)?.();
  }

  /** The server sends. */
  say(message: unknown): void {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  /** The server closes, or the line breaks. */
  end(code: number): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

/** A clock that a test moves, its timers, and the sockets that were opened. */
export class FakeWorld {
  now = 0;
  hidden = false;
  /** Connections break before they open. */
  refuses = false;
  /** What `random` gives. */
  chance = 0.5;
  readonly sockets: FakeSocket[] = [];
  /** When each socket was opened. */
  readonly openedAt: number[] = [];
  readonly #timers = new Map<number, { at: number; run: () => void }>();
  readonly #wakers = new Set<() => void>();
  #id = 0;

  get environment(): SocketEnvironment {
    const world = this;
    return {
      now: () => this.now,
      setTimeout: (run, delayMs) => {
        this.#timers.set(++this.#id, { at: this.now + delayMs, run });
        return this.#id;
      },
      clearTimeout: (timer) => void this.#timers.delete(timer as number),
      random: () => this.chance,
      WebSocket: class extends FakeSocket {
        constructor(url: string) {
          super(url);
          world.sockets.push(this);
          world.openedAt.push(world.now);
          if (world.refuses) world.environment.setTimeout(() => this.end(1006), 0);
        }

        override send(text: string): void {
          super.send(text);
          if (text === "ping" && this.answers) world.environment.setTimeout(() => this.say("pong"), 20);
        }
      },
      isHidden: () => this.hidden,
      onWake: (wake) => {
        this.#wakers.add(wake);
        return () => this.#wakers.delete(wake);
      },
    };
  }

  /** The newest socket. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("no socket was opened");
    return socket;
  }

  /** Timers that run. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Who listens for the page to come back. */
  get listeners(): number {
    return this.#wakers.size;
  }

  /** Lets time pass; timers run in order. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (next === undefined) break;
      const [id, { at, run }] = next;
      this.#timers.delete(id);
      this.now = Math.max(this.now, at);
      run();
    }
    this.now = end;
  }

  /** The page is seen again, or the network is back. */
  wake(): void {
    for (const wake of this.#wakers) wake();
  }
}
