import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { ServerFrame } from "../../domain/protocol/events.ts";

/** Frame types of rfc6455 §5.2. */
export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** What a frame is when nothing is said: masked, final, without extensions. */
export interface FrameOptions {
  final?: boolean;
  masked?: boolean;
  /** The three reserved bits, 0 to 7. */
  reserved?: number;
  /** The length that the head declares; the payload's own otherwise. */
  declaredLength?: number;
}

/** An upgrade that was answered otherwise. */
export class UpgradeRefused extends Error {
  readonly status: number;
  /** Names are lower-case. */
  readonly headers: Record<string, string>;
  readonly body: string;

  constructor(status: number, headers: Record<string, string>, body: string) {
    super(`the upgrade was answered ${status}: ${body}`);
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

/** A frame of the server, and when it was read, Unix ms. */
export interface Received {
  frame: ServerFrame;
  at: number;
}

/** Where a viewer's socket of a stream is. `query` begins with `&`. */
export function socketPath(stream: string, viewer: string, query = ""): string {
  return `/api/v1/streams/${stream}/ws?viewer=${viewer}${query}`;
}

const HEAD_END = "\r\n\r\n";

/**
 * A WebSocket client (rfc6455) over bare TCP that does nothing of itself: it sends whatever bytes it is told, and answers neither a ping nor a
 * close unless told. Every frame of the server is held against the schema.
 */
export class RawWebSocket {
  readonly #socket: Socket;
  readonly #answersClose: boolean;
  #rest: Buffer = Buffer.alloc(0);
  #whenOpen: { resolve: () => void; reject: (error: Error) => void } | null = null;
  /** What was received, oldest first. */
  readonly received: Received[] = [];
  /** Answers to the text `ping`. */
  pongs = 0;
  /** What the server closed the socket with; null while it has not. */
  closed: { code: number; reason: string } | null = null;
  /** The connection is gone. */
  ended = false;
  /** What the server said that is no frame of its protocol. */
  failure: unknown = null;

  private constructor(site: string, answersClose: boolean) {
    const { hostname, port } = new URL(site);
    this.#answersClose = answersClose;
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#socket.on("data", (chunk) => this.#read(chunk));
    this.#socket.on("error", (error) => this.#whenOpen?.reject(error));
    this.#socket.on("close", () => {
      this.ended = true;
      this.#refuseWithRest();
    });
  }

  /** Opens a socket at a path. Rejects with `UpgradeRefused` where the answer is no 101. `answersClose`: whether a close is agreed to. */
  static open(site: string, path: string, headers: Record<string, string> = {}, answersClose = true): Promise<RawWebSocket> {
    const opened = new RawWebSocket(site, answersClose);
    const all = {
      ...{ Host: new URL(site).host, Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13" },
      ...{ "Sec-WebSocket-Key": randomBytes(16).toString("base64"), ...headers },
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return new Promise((resolve, reject) => {
      opened.#whenOpen = { resolve: () => resolve(opened), reject };
      opened.#socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    });
  }

  /** All frames that it has been told, without the times. */
  get frames(): ServerFrame[] {
    return this.received.map(({ frame }) => frame);
  }

  /** The newest frame of an event. */
  last<Name extends ServerFrame["event"]>(event: Name): Extract<ServerFrame, { event: Name }> | undefined {
    return this.frames.findLast((frame) => frame.event === event) as Extract<ServerFrame, { event: Name }> | undefined;
  }

  /** The newest count of viewers that it has been told. */
  get count(): number | undefined {
    return this.counts.at(-1)?.count;
  }

  /** Every count that it has been told, and when. */
  get counts(): { count: number; at: number }[] {
    return this.received.flatMap(({ frame, at }) =>
      frame.event === "viewer_count_changed" || frame.event === "connection_established" ? { count: frame.data.viewer_count, at } : [],
    );
  }

  /** Where it could resume now. */
  get resumePoint(): string {
    return `${this.last("connection_established")?.data.instance}.${this.frames.at(-1)?.seq}`;
  }

  text(text: string): void {
    this.frame(Opcode.text, Buffer.from(text));
  }

  /** Acknowledges everything that it has been told. */
  acknowledge(): void {
    this.text(JSON.stringify({ type: "ack", seq: this.frames.at(-1)?.seq ?? 0 }));
  }

  /** Sends one frame, lawful or not. */
  frame(opcode: number, payload: Uint8Array, options: FrameOptions = {}): void {
    const { final = true, masked = true, reserved = 0, declaredLength = payload.length } = options;
    const first = (final ? 0x80 : 0) | (reserved << 4) | opcode;
    const mask = masked ? randomBytes(4) : Buffer.alloc(0);
    const body = masked ? payload.map((byte, index) => byte ^ (mask[index % 4] as number)) : payload;
    this.bytes(Buffer.concat([Buffer.from([first]), encodeLength(declaredLength, masked), mask, body]));
  }

  /** Sends one message in fragments. */
  fragments(opcode: number, pieces: readonly Uint8Array[]): void {
    pieces.forEach((piece, index) => {
      this.frame(index === 0 ? opcode : Opcode.continuation, piece, { final: index === pieces.length - 1 });
    });
  }

  /** Sends bytes that need not be a frame. */
  bytes(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Begins to leave as the protocol has it. */
  close(code = 1000): void {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.frame(Opcode.close, payload);
  }

  /** Stops reading: from now on the system's buffers fill. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads on. */
  resume(): void {
    this.#socket.resume();
  }

  /** Is gone without a word of the protocol: the connection is reset. */
  destroy(): void {
    this.#socket.resetAndDestroy();
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    if (this.#whenOpen !== null) {
      const headEnd = this.#rest.indexOf(HEAD_END);
      if (headEnd < 0) return;
      if (statusOf(this.#rest) !== 101) {
        this.#refuseWhenWhole(headEnd);
        return;
      }
      this.#rest = this.#rest.subarray(headEnd + HEAD_END.length);
      this.#whenOpen.resolve();
      this.#whenOpen = null;
    }
    for (let frame = takeFrame(this.#rest); frame !== null; frame = takeFrame(this.#rest)) {
      this.#rest = frame.rest;
      this.#take(frame.opcode, frame.payload);
    }
  }

  #take(opcode: number, payload: Buffer): void {
    if (opcode === Opcode.close) {
      this.closed ??= { code: payload.length >= 2 ? payload.readUInt16BE(0) : 1005, reason: payload.toString("utf8", 2) };
      if (this.#answersClose) {
        this.frame(Opcode.close, payload.subarray(0, 2));
        this.#socket.end();
      }
    } else if (opcode === Opcode.text) {
      const text = payload.toString();
      try {
        if (text === "pong") this.pongs += 1;
        else this.received.push({ frame: ServerFrame.parse(JSON.parse(text)), at: Date.now() });
      } catch (error) {
        this.failure ??= error;
      }
    } else {
      this.failure ??= new Error(`a frame of type ${opcode}`);
    }
  }

  #refuseWhenWhole(headEnd: number): void {
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#rest.toString("latin1", 0, headEnd))?.[1] ?? Number.NaN);
    const chunked = /\r\ntransfer-encoding: *chunked/i.test(this.#rest.toString("latin1", 0, headEnd));
    const isWhole = chunked ? this.#rest.includes("\r\n0\r\n\r\n", headEnd) : this.#rest.length >= headEnd + HEAD_END.length + length;
    if (isWhole) this.#socket.destroy();
  }

  #refuseWithRest(): void {
    const headEnd = this.#rest.indexOf(HEAD_END);
    const [, ...lines] = this.#rest.toString("latin1", 0, Math.max(0, headEnd)).split("\r\n");
    const headers = Object.fromEntries(lines.map((line) => [line.split(":", 1)[0]?.toLowerCase() ?? "", line.replace(/^[^:]*: */, "")]));
    const body = this.#rest.subarray(headEnd + HEAD_END.length).toString();
    this.#whenOpen?.reject(
      new UpgradeRefused(statusOf(this.#rest), headers, headers["transfer-encoding"] === "chunked" ? unchunk(body) : body),
    );
    this.#whenOpen = null;
  }
}

/** Throws unless the shared events' numbers have no holes but those that a `gap` names, and nothing was said that is no frame. */
export function assertUnbroken({ frames, failure }: RawWebSocket): void {
  if (failure !== null) throw failure;
  let seq: number | null = null;
  for (const frame of frames) {
    if (frame.event === "error") continue;
    if (seq === null || frame.event === "connection_established") seq = frame.seq;
    else if (frame.event === "gap" ? frame.data.from > seq + 1 : frame.seq !== seq + 1) {
      throw new Error(`${frame.event} ${frame.seq} after ${seq}`);
    } else seq = frame.seq;
  }
}

function statusOf(head: Buffer): number {
  return Number(head.toString("latin1", 9, 12));
}

function unchunk(body: string): string {
  return body.replace(/([0-9a-f]+)\r\n([\s\S]*?)\r\n(?=[0-9a-f]+\r\n)/gi, "$2").replace(/0\r\n\r\n$/, "");
}

function encodeLength(length: number, masked: boolean): Buffer {
  const flag = masked ? 0x80 : 0;
  if (length < 126) return Buffer.from([flag | length]);
  const long = length > 0xffff;
  const bytes = Buffer.alloc(long ? 9 : 3);
  bytes[0] = flag | (long ? 127 : 126);
  if (long) bytes.writeBigUInt64BE(BigInt(length), 1);
  else bytes.writeUInt16BE(length, 1);
  return bytes;
}

/** The frame that some bytes begin with; null where it is not whole yet. The server's frames are neither masked nor in fragments. */
function takeFrame(bytes: Buffer): { opcode: number; payload: Buffer; rest: Buffer } | null {
  if (bytes.length < 2) return null;
  const short = (bytes[1] as number) & 0x7f;
  const head = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < head) return null;
  const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < head + length) return null;
  return { opcode: (bytes[0] as number) & 0x0f, payload: bytes.subarray(head, head + length), rest: bytes.subarray(head + length) };
}
