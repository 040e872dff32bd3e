/// <reference types="@cloudflare/workers-types" />
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

/** What Node has not, and a room makes one of. */
class FakeRequestResponsePair {
  readonly request: string;
  readonly response: string;

  constructor(request: string, response: string) {
    this.request = request;
    this.response = response;
  }
}

Object.assign(globalThis, { WebSocketRequestResponsePair: FakeRequestResponsePair });

/** A statement that has changed the storage, as it was run. */
export interface SqlWrite {
  sql: string;
  bindings: readonly unknown[];
  /** Rows. */
  changes: number;
}

/** The object's end of a socket. */
export class FakeSocket {
  readyState = WebSocket.OPEN as number;
  /** Frames that have reached the client. */
  readonly delivered: string[] = [];
  /** How the object has closed it. */
  closed: { code: number; reason: string } | null = null;
  /** The line is dead and nobody has been told: what is sent is lost. */
  halfOpen = false;
  /** When it was last answered a ping, Unix ms. */
  pingedAt: number | null = null;
  #attachment: unknown = null;

  serializeAttachment(value: unknown): void {
    this.#attachment = structuredClone(value);
  }

  deserializeAttachment(): unknown {
    return structuredClone(this.#attachment);
  }

  send(text: string): void {
    if (this.readyState !== WebSocket.OPEN) throw new TypeError("cannot send on a socket that is closed");
    if (!this.halfOpen) this.delivered.push(text);
  }

  close(code: number, reason: string): void {
    if (this.readyState !== WebSocket.OPEN) throw new TypeError("the socket is closed already");
    this.readyState = WebSocket.CLOSING;
    this.closed = { code, reason };
  }

  /** The client has closed it, or the line broke: the object's handler is still to be run. */
  end(): void {
    this.readyState = WebSocket.CLOSED;
  }
}

class FakeCursor {
  readonly #rows: unknown[];

  constructor(rows: unknown[]) {
    this.#rows = rows;
  }

  toArray(): unknown[] {
    return this.#rows;
  }

  one(): unknown {
    if (this.#rows.length !== 1) throw new Error(`expected one row, got ${this.#rows.length}`);
    return this.#rows[0];
  }

  [Symbol.iterator](): Iterator<unknown> {
    return this.#rows[Symbol.iterator]();
  }
}

/**
 * As much of an object's state as a `Room` and its `EventLog` use, with SQLite of Node's own beneath. It outlives the memory of the object:
 * build a new room over it for a hibernation, and call `restart` before for a deployment or a crash.
 */
export class FakeObjectState {
  readonly id = { toString: () => "object" };
  /** Every write of a row, oldest first. */
  readonly writes: SqlWrite[] = [];
  readonly #database = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, StatementSync>();
  readonly #values = new Map<string, unknown>();
  readonly #sockets = new Set<FakeSocket>();
  #pair: FakeRequestResponsePair | null = null;

  readonly storage = {
    kv: {
      get: (key: string): unknown => structuredClone(this.#values.get(key)),
      put: (key: string, value: unknown): void => void this.#values.set(key, structuredClone(value)),
      delete: (key: string): boolean => this.#values.delete(key),
    },
    sql: { exec: (sql: string, ...bindings: SQLInputValue[]): FakeCursor => this.#exec(sql, bindings) },
  };

  acceptWebSocket(socket: FakeSocket): void {
    this.#sockets.add(socket);
  }

  /** Also those whose close handler has not been run yet, and those that the client has not agreed to close. */
  getWebSockets(): FakeSocket[] {
    return [...this.#sockets];
  }

  setWebSocketAutoResponse(pair: FakeRequestResponsePair): void {
    this.#pair = pair;
  }

  getWebSocketAutoResponseTimestamp(socket: FakeSocket): Date | null {
    return socket.pingedAt === null ? null : new Date(socket.pingedAt);
  }

  /** A client's text, where the runtime answers it without the object. Returns whether it did. */
  answer(socket: FakeSocket, text: string, now: number): boolean {
    if (this.#pair?.request !== text || socket.readyState !== WebSocket.OPEN) return false;
    socket.pingedAt = now;
    socket.send(this.#pair.response);
    return true;
  }

  /** The socket's close handler has been run. */
  forget(socket: FakeSocket): void {
    this.#sockets.delete(socket);
  }

  /** A deployment or a crash: all sockets break, and no handler is run. */
  restart(): void {
    for (const socket of this.#sockets) socket.end();
    this.#sockets.clear();
    this.#pair = null;
  }

  /** Rows, read past the object. */
  rows<Row>(sql: string): Row[] {
    return this.#prepare(sql).all() as Row[];
  }

  /** Frees the database. */
  dispose(): void {
    this.#database.close();
  }

  /** What the object takes it for. */
  asState(): DurableObjectState {
    return this as unknown as DurableObjectState;
  }

  #exec(sql: string, bindings: SQLInputValue[]): FakeCursor {
    const statement = this.#prepare(sql);
    if (/^\s*SELECT/i.test(sql)) return new FakeCursor(statement.all(...bindings));
    const { changes } = statement.run(...bindings);
    if (!/^\s*CREATE/i.test(sql)) this.writes.push({ sql, bindings, changes: Number(changes) });
    return new FakeCursor([]);
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}
