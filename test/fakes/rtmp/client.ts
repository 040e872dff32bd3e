import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type AmfValue, decodeAmf0, encodeAmf0 } from "./amf0.ts";
import { ChunkReader, encodeMessage, type Message } from "./chunks.ts";
import type { FlvTag } from "./flv-tags.ts";

const HANDSHAKE = 1536;
const COMMAND = 20;

/** What the server said in an `onStatus`. */
export interface Status {
  level: string;
  code: string;
  description: string;
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

  /** A connection with its handshake done. */
  static async shaken(port: number, host?: string): Promise<RtmpClient> {
    const client = await RtmpClient.open(port, host);
    await client.shakeHands();
    return client;
  }

  /** A connection that got as far as `createStream`. */
  static async connected(port: number, host?: string): Promise<RtmpClient> {
    const client = await RtmpClient.shaken(port, host);
    await client.connect();
    await client.createStream();
    return client;
  }

  async shakeHands(): Promise<void> {
    const answer = this.#orLost(this.#readHandshake());
    this.raw(Buffer.concat([Buffer.from([3]), Buffer.alloc(HANDSHAKE, 7)]));
    await answer;
    this.raw(Buffer.alloc(HANDSHAKE, 9));
  }

  raw(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  send(message: Partial<Message> & { type: number; payload: Buffer }, chunkStream = 3): void {
    this.raw(encodeMessage({ streamId: 0, timestamp: 0, ...message }, { chunkStream, chunkSize: this.chunkSize }));
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

  async connect(app = "live"): Promise<void> {
    const result = this.next((message) => isCommand(message, "_result"));
    this.command("connect", 1, [{ app, type: "nonprivate", flashVer: "Test/1.0", tcUrl: `rtmp://127.0.0.1/${app}` }]);
    await result;
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
