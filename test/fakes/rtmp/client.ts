import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectSecurely } from "node:tls";
import { type AmfValue, decodeAmf0, encodeAmf0 } from "./amf0.ts";
import { type Chunking, ChunkReader, encodeMessage, type Message } from "./chunks.ts";
import type { FlvTag } from "./flv-tags.ts";

const HANDSHAKE = 1536;
const COMMAND = 20;
const ROUND_GAP_MS = 20;

/** What the server said in an `onStatus`. */
export interface Status {
  level: string;
  code: string;
  description: string;
}

/** What `connect` says beside the usual. */
export interface ConnectDetails {
  app?: string;
  /** Fields of its command object, as of Enhanced RTMP: `{ capsEx: 1 }`. */
  details?: { [key: string]: AmfValue };
}

/** An RTMP encoder, or player, of our own: it can do everything right and everything wrong. */
export class RtmpClient {
  readonly socket: Socket;
  readonly statuses: Status[] = [];
  readonly received: Message[] = [];
  /** Settles when the connection is gone, by whichever side. */
  readonly closed: Promise<void>;
  /** For what is sent from now on. `setChunkSize` tells the server too. */
  chunkSize = 128;
  #reader: ChunkReader | null = null;
  #waiting: { isIt: (message: Message) => boolean; resolve: (message: Message) => void }[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
  }

  /** A TCP connection, before any byte. */
  static async open(port: number, host = "127.0.0.1"): Promise<RtmpClient> {
    const socket = connect({ port, host, noDelay: true });
    const client = new RtmpClient(socket);
    await once(socket, "connect");
    return client;
  }

  /** A connection with its TLS done; any certificate will do. */
  static async openSecurely(port: number, host = "127.0.0.1"): Promise<RtmpClient> {
    const socket = connectSecurely({ port, host, rejectUnauthorized: false });
    socket.setNoDelay(true);
    const client = new RtmpClient(socket);
    await client.#orLost(once(socket, "secureConnect"));
    return client;
  }

  /** A connection with its handshake done. */
  static async shaken(port: number, host?: string): Promise<RtmpClient> {
    const client = await RtmpClient.open(port, host);
    await client.shakeHands();
    return client;
  }

  /** A connection that got as far as `createStream`. */
  static async connected(port: number, host?: string): Promise<RtmpClient> {
    const client = await RtmpClient.shaken(port, host);
    await client.setUp();
    return client;
  }

  async shakeHands(): Promise<void> {
    const answer = this.#orLost(this.#readHandshake());
    this.raw(Buffer.concat([Buffer.from([3]), Buffer.alloc(HANDSHAKE, 7)]));
    await answer;
    this.raw(Buffer.alloc(HANDSHAKE, 9));
  }

  /** The handshake in pieces of `bytes`, one each `everyMs`. */
  async shakeHandsSlowly(bytes: number, everyMs: number): Promise<void> {
    const answer = this.#orLost(this.#readHandshake());
    answer.catch(() => {});
    const hello = Buffer.concat([Buffer.from([3]), Buffer.alloc(HANDSHAKE, 7), Buffer.alloc(HANDSHAKE, 9)]);
    for (let at = 0; at < hello.length && this.socket.writable; at += bytes) {
      this.raw(hello.subarray(at, at + bytes));
      await delay(everyMs);
    }
    await answer;
  }

  /** What comes between handshake and `publish`. */
  async setUp(options?: ConnectDetails): Promise<void> {
    await this.connect(options);
    await this.createStream();
  }

  raw(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  send(message: Partial<Message> & { type: number; payload: Buffer }, chunkStream = 3, chunking: Partial<Chunking> = {}): void {
    this.raw(encodeMessage({ streamId: 0, timestamp: 0, ...message }, { chunkStream, chunkSize: this.chunkSize, ...chunking }));
  }

  setChunkSize(size: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(size);
    this.send({ type: 1, payload }, 2);
    this.chunkSize = size;
  }

  command(name: AmfValue, transaction: number, values: AmfValue[], streamId = 0): void {
    this.send({ type: COMMAND, streamId, payload: encodeAmf0(name, transaction, ...values) });
  }

  /** Resolves with the values of the server's answer: its properties, and what it says of the connection. */
  async connect(options: ConnectDetails | string = {}): Promise<AmfValue[]> {
    const { app = "live", details = {} } = typeof options === "string" ? { app: options } : options;
    const result = this.next((message) => isCommand(message, "_result"));
    this.command("connect", 1, [{ app, type: "nonprivate", flashVer: "Test/1.0", tcUrl: `rtmp://127.0.0.1/${app}`, ...details }]);
    return decodeAmf0((await result).payload).slice(2);
  }

  async createStream(): Promise<void> {
    const result = this.next((message) => isCommand(message, "_result"));
    this.command("createStream", 2, [null]);
    await result;
  }

  /** Asks to publish and waits for what the server says about it. */
  async publish(name: AmfValue): Promise<Status> {
    const status = this.nextStatus();
    this.command("publish", 3, [null, name, "live"], 1);
    return status;
  }

  unpublish(name: string): void {
    this.command("FCUnpublish", 4, [null, name]);
    this.command("deleteStream", 5, [null, 1]);
  }

  sendTag(tag: FlvTag, timestamp = tag.timestamp): void {
    this.send({ type: tag.type, streamId: 1, timestamp, payload: tag.data }, tag.type === 9 ? 6 : 4);
  }

  /** Sends tags at the pace of their timestamps, over and over, until the connection is gone or `signal` says so. */
  async sendPaced(tags: FlvTag[], signal: AbortSignal): Promise<void> {
    const startedAt = performance.now();
    const round = Math.max(...tags.map(({ timestamp }) => timestamp)) + ROUND_GAP_MS;
    for (let index = 0; !signal.aborted && this.socket.writable; index++) {
      const tag = tags[index % tags.length];
      if (!tag) return;
      const timestamp = tag.timestamp + Math.floor(index / tags.length) * round;
      const ahead = startedAt + timestamp - performance.now();
      if (ahead > 0) await delay(ahead);
      this.sendTag(tag, timestamp % 2 ** 32);
    }
  }

  async nextStatus(): Promise<Status> {
    await this.next((message) => isCommand(message, "onStatus"));
    const status = this.statuses.at(-1);
    if (!status) throw new Error("a status that is none");
    return status;
  }

  /** The next message for which `isIt` holds; rejects when the connection closes first. */
  async next(isIt: (message: Message) => boolean): Promise<Message> {
    const arrived = new Promise<Message>((resolve) => this.#waiting.push({ isIt, resolve }));
    return this.#orLost(arrived);
  }

  destroy(): void {
    this.socket.destroy();
  }

  #orLost<Value>(awaited: Promise<Value>): Promise<Value> {
    const lost = this.closed.then(() => {
      throw new Error("the server closed the connection");
    });
    return Promise.race([awaited, lost]);
  }

  #readHandshake(): Promise<void> {
    return new Promise((resolve) => {
      let head = Buffer.alloc(0);
      this.socket.on("data", (bytes: Buffer) => {
        if (this.#reader) return this.#reader.push(bytes);
        head = Buffer.concat([head, bytes]);
        if (head.length < 1 + 2 * HANDSHAKE) return;
        this.#reader = new ChunkReader((message) => this.#onMessage(message));
        this.#reader.push(head.subarray(1 + 2 * HANDSHAKE));
        resolve();
      });
    });
  }

  #onMessage(message: Message): void {
    this.received.push(message);
    if (isCommand(message, "onStatus")) this.statuses.push(decodeAmf0(message.payload)[3] as unknown as Status);
    const met = this.#waiting.filter(({ isIt }) => isIt(message));
    this.#waiting = this.#waiting.filter((waiting) => !met.includes(waiting));
    for (const { resolve } of met) resolve(message);
  }
}

function isCommand(message: Message, name: string): boolean {
  return message.type === COMMAND && decodeAmf0(message.payload)[0] === name;
}
