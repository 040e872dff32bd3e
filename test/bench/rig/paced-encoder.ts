import { RtmpClient } from "../../fakes/rtmp/client.ts";
import { CHUNK_BYTES, type Programme } from "./programme.ts";

/** Whom an encoder tells what. */
export interface EncoderListener {
  /** A frame was handed to the socket, so many ms after its time. */
  frame(lateMs: number): void;
  /** The connection is gone, and nobody here wanted that. */
  lost(reason: string): void;
}

const FAREWELL_MS = 2_000;
/** What a server may leave unread before an encoder gives it up. */
const MAX_UNSENT_BYTES = 4 << 20;

/** One connection that sends a programme over and over in real time, with timestamps that rise. */
export class PacedEncoder {
  readonly #client: RtmpClient;
  readonly #streamKey: string;
  readonly #programme: Programme;
  readonly #listener: EncoderListener;
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | null = null;
  #next = 0;
  #round = 0;
  #isOver = false;

  private constructor(client: RtmpClient, streamKey: string, programme: Programme, listener: EncoderListener) {
    this.#client = client;
    this.#streamKey = streamKey;
    this.#programme = programme;
    this.#listener = listener;
    void client.closed.then(() => this.#lose("the server closed the connection"));
  }

  /** Begins to send to an RTMP server on this machine. Rejects where it refuses. */
  static async start(rtmpPort: number, streamKey: string, programme: Programme, listener: EncoderListener): Promise<PacedEncoder> {
    const client = await RtmpClient.connected(rtmpPort);
    client.setChunkSize(CHUNK_BYTES);
    const status = await client.publish(streamKey);
    if (status.level === "error") {
      client.destroy();
      throw new Error(`the publish was refused: ${status.description}`);
    }
    const encoder = new PacedEncoder(client, streamKey, programme, listener);
    for (const tag of programme.headers) client.sendTag(tag, 0);
    encoder.#sendDue();
    return encoder;
  }

  /** Unpublishes and closes the connection. */
  async stop(): Promise<void> {
    if (this.#isOver) return;
    this.#end();
    this.#client.unpublish(this.#streamKey);
    this.#client.socket.end();
    const timer = setTimeout(() => this.#client.destroy(), FAREWELL_MS);
    await this.#client.closed;
    clearTimeout(timer);
  }

  /** Drops the connection as a power cut does: with a reset. */
  abort(): void {
    this.#end();
    this.#client.socket.resetAndDestroy();
  }

  #end(): void {
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #lose(reason: string): void {
    if (this.#isOver) return;
    this.#end();
    this.#client.destroy();
    this.#listener.lost(reason);
  }

  #sendDue(): void {
    const { bursts, periodMs } = this.#programme;
    for (;;) {
      const burst = bursts[this.#next];
      if (burst === undefined) throw new Error("the recording is empty");
      const roundMs = this.#round * periodMs;
      const due = this.#startedAt + roundMs + burst.at;
      const now = performance.now();
      if (due > now) {
        this.#timer = setTimeout(() => this.#sendDue(), due - now);
        return;
      }
      if (this.#client.socket.writableLength > MAX_UNSENT_BYTES) return this.#lose("the server does not read what it is sent");
      this.#client.raw(this.#programme.encode(this.#next, roundMs));
      if (burst.hasFrame) this.#listener.frame(now - due);
      this.#next = (this.#next + 1) % bursts.length;
      if (this.#next === 0) this.#round += 1;
    }
  }
}
