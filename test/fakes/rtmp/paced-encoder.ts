import { setTimeout as delay } from "node:timers/promises";
import type { AmfValue } from "./amf0.ts";
import { RtmpClient, type Status } from "./client.ts";
import type { FlvTag } from "./flv-tags.ts";

/** An encoder that sends given tags in real time by a real connection, once or over and over. */
export class PacedEncoder {
  readonly #client: RtmpClient;
  readonly #name: string;
  readonly #abort = new AbortController();
  /** Settles when everything was sent, or the connection is gone. */
  readonly sent: Promise<void>;

  private constructor(client: RtmpClient, name: string, tags: FlvTag[], loops: boolean) {
    this.#client = client;
    this.#name = name;
    this.sent = loops ? client.sendPaced(tags, this.#abort.signal) : this.#sendOnce(tags);
  }

  /** Connects, publishes under a name (a stream key, perhaps with a query) and sends. Rejects with the server's words where it is refused. */
  static async publish(
    port: number,
    name: string,
    tags: FlvTag[],
    options: { loops?: boolean; details?: { [key: string]: AmfValue } } = {},
  ): Promise<PacedEncoder> {
    const client = await RtmpClient.shaken(port);
    await client.setUp(options.details === undefined ? {} : { details: options.details });
    client.setChunkSize(4096);
    const status = await client.publish(name);
    if (status.level !== "status") throw new Error(status.description);
    return new PacedEncoder(client, name, tags, options.loops ?? false);
  }

  get isConnected(): boolean {
    return !this.#client.socket.destroyed;
  }

  /** What the server has said since. */
  get statuses(): readonly Status[] {
    return this.#client.statuses;
  }

  /** Settles when the connection is gone. */
  get closed(): Promise<void> {
    return this.#client.closed;
  }

  /** Keeps the connection and sends no more. */
  pause(): void {
    this.#abort.abort();
  }

  /** Ends the publish as a stop button does. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#client.unpublish(this.#name);
    await Promise.race([this.closed, delay(1000)]);
    this.#client.destroy();
  }

  /** Is gone without a word. */
  crash(): void {
    this.#abort.abort();
    this.#client.destroy();
  }

  async #sendOnce(tags: FlvTag[]): Promise<void> {
    const startedAt = performance.now();
    const first = tags[0]?.timestamp ?? 0;
    let before = first;
    let played = 0;
    for (const tag of tags) {
      // A step that no camera makes is one of the clock, not of time.
      const step = ((tag.timestamp - before + 2 ** 31) % 2 ** 32) - 2 ** 31;
      if (step > 0 && step < 5000) played += step;
      before = tag.timestamp;
      const ahead = startedAt + played - performance.now();
      if (ahead > 0) await delay(ahead);
      if (this.#abort.signal.aborted || !this.#client.socket.writable) return;
      this.#client.sendTag(tag);
    }
  }
}
