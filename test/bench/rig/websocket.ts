import { connect, type Socket } from "node:net";
import { monotonicMs } from "./monotonic.ts";

/** What a `BareWebSocket` tells its owner. */
export interface WebSocketEvents {
  /** `at`: when the server agreed, by `monotonicMs()`. */
  open(at: number): void;
  /** `at`: when it was read, by `monotonicMs()`. */
  text(text: string, at: number): void;
  /** Once, however it ended. `reason` is for people. */
  closed(reason: string): void;
}

const HEAD_END = "\r\n\r\n";
/** Any 16 bytes do: nothing between here and the server caches. */
const KEY = Buffer.alloc(16, "n").toString("base64");
const NORMAL_CLOSURE = Buffer.from([0x03, 0xe8]);
const Opcode = { text: 1, close: 8, ping: 9, pong: 10 } as const;
/** One for all sockets of the process: what is read is used before the next socket is read. */
const readBuffer = Buffer.allocUnsafeSlow(64 << 10);

/**
 * A WebSocket client (rfc6455) that costs as little as it can, so that thousands of them leave the processor to the server: whole text frames,
 * no compression, and a mask of zeros.
 */
export class BareWebSocket {
  readonly #socket: Socket;
  readonly #events: WebSocketEvents;
  #rest: Buffer | null = null;
  #isOpen = false;
  #hasClosed = false;
  #reason: string | null = null;

  /** `site` is `http://HOST:PORT`. */
  constructor(site: string, path: string, events: WebSocketEvents) {
    this.#events = events;
    const { hostname, port, host } = new URL(site);
    const onread = { buffer: readBuffer, callback: (length: number) => this.#read(readBuffer.subarray(0, length)) };
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true, onread });
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
    this.#socket.on("error", (error) => (this.#reason ??= error.message));
    this.#socket.on("close", () => events.closed(this.#reason ?? "the connection was closed"));
  }

  /** Sends text of at most 125 bytes. */
  send(text: string): void {
    this.#write(Opcode.text, Buffer.from(text));
  }

  /** Asks the server for a pong. */
  ping(): void {
    this.#write(Opcode.ping, Buffer.alloc(0));
  }

  /** Leaves as the protocol has it: the server answers, and then the connection is closed. */
  close(): void {
    if (this.#hasClosed) return;
    this.#hasClosed = true;
    this.#write(Opcode.close, NORMAL_CLOSURE);
  }

  /** Closes the connection without a word. */
  abort(): void {
    this.#fail("given up");
  }

  #write(opcode: number, payload: Buffer): void {
    if (payload.length > 125) throw new Error("a client's frame has at most 125 bytes");
    this.#socket.write(Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
  }

  #fail(reason: string): void {
    this.#reason ??= reason;
    this.#socket.destroy();
  }

  #read(chunk: Buffer): boolean {
    const at = monotonicMs();
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    let used = 0;
    if (!this.#isOpen) {
      const headEnd = bytes.indexOf(HEAD_END);
      if (headEnd >= 0) {
        const status = bytes.toString("latin1", 9, 12);
        if (status !== "101") {
          this.#fail(`the upgrade was answered ${status}`);
          return false;
        }
        used = headEnd + HEAD_END.length;
        this.#isOpen = true;
        this.#events.open(at);
      }
    }
    while (this.#isOpen) {
      const length = this.#readFrame(bytes, used, at);
      if (length === 0) break;
      used += length;
    }
    this.#rest = used < bytes.length ? Buffer.from(bytes.subarray(used)) : null;
    return true;
  }

  /** How many bytes the frame at an offset has; 0 where it is not whole yet. */
  #readFrame(bytes: Buffer, from: number, at: number): number {
    if (bytes.length < from + 2) return 0;
    const first = bytes[from] ?? 0;
    let length = bytes[from + 1] ?? 0;
    let head = 2;
    if (length === 126) {
      head = 4;
      if (bytes.length < from + head) return 0;
      length = bytes.readUInt16BE(from + 2);
    }
    if (length > 0xffff || (first & 0x80) === 0) {
      this.#fail("a frame was too long, or in fragments");
      return 0;
    }
    const start = from + head;
    const end = start + length;
    if (bytes.length < end) return 0;
    const opcode = first & 0x0f;
    if (opcode === Opcode.text) this.#events.text(bytes.toString("utf8", start, end), at);
    else if (opcode === Opcode.ping) this.#write(Opcode.pong, Buffer.from(bytes.subarray(start, end)));
    else if (opcode === Opcode.close) this.#closeBack(bytes, start, length);
    return head + length;
  }

  #closeBack(bytes: Buffer, start: number, length: number): void {
    this.#reason ??= `the server closed the socket${length >= 2 ? ` with ${bytes.readUInt16BE(start)}` : ""}`;
    this.close();
    this.#socket.end();
  }
}
