import { RtmpClient } from "../../fakes/rtmp/client.ts";
import type { Recording } from "./recording.ts";

const VIDEO = 9;
const CHUNK_BYTES = 4096;
const FAREWELL_MS = 2_000;

/** An encoder that sends a recording over and over in real time, and remembers when each frame went to the socket. */
export class Publisher {
  readonly #recording: Recording;
  readonly #client: RtmpClient;
  readonly #streamKey: string;
  readonly #startedAt = performance.now();
  /** When each frame was handed to the socket, ms of `performance.now()`. */
  readonly #sentAt: number[] = [];
  readonly #latenessMs: number[] = [];
  readonly #waiting = new Map<number, PromiseWithResolvers<number>>();
  readonly #lost: Promise<never>;
  #next = 0;
  #round = 0;
  #timer: NodeJS.Timeout | null = null;
  #isLost = false;

  private constructor(client: RtmpClient, streamKey: string, recording: Recording) {
    this.#client = client;
    this.#streamKey = streamKey;
    this.#recording = recording;
    this.#lost = client.closed.then(() => {
      this.#isLost = true;
      throw new Error("the server closed the encoder's connection");
    });
    this.#lost.catch(() => undefined);
  }

  /** Begins to send to an RTMP server on this machine. Rejects where it refuses. */
  static async start(rtmpPort: number, streamKey: string, recording: Recording): Promise<Publisher> {
    const client = await RtmpClient.connected(rtmpPort);
    client.setChunkSize(CHUNK_BYTES);
    const status = await client.publish(streamKey);
    if (status.level === "error") throw new Error(`the publish was refused: ${status.description}`);
    const publisher = new Publisher(client, streamKey, recording);
    for (const tag of recording.headers) client.sendTag(tag);
    publisher.#sendDue();
    return publisher;
  }

  /** The server closed the connection. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** How much later than its timestamp says each frame since `since` was sent, ms. */
  latenessSince(since: number): number[] {
    return this.#latenessMs.filter((_, frame) => (this.#sentAt[frame] ?? 0) >= since);
  }

  /** When a frame (counted from 0, over all rounds) was handed to the socket; resolves at that moment where it lies ahead. Rejects when the connection is lost. */
  sent(frame: number): Promise<number> {
    const at = this.#sentAt[frame];
    if (at !== undefined) return Promise.resolve(at);
    const waiting = this.#waiting.get(frame) ?? Promise.withResolvers<number>();
    this.#waiting.set(frame, waiting);
    return Promise.race([waiting.promise, this.#lost]);
  }

  /** The moment of a frame that has been sent. Throws for one that has not. */
  sentAt(frame: number): number {
    const at = this.#sentAt[frame];
    if (at === undefined) throw new Error(`frame ${frame} was found before it was sent`);
    return at;
  }

  /** Unpublishes and closes the connection. */
  async stop(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#isLost) return;
    this.#client.unpublish(this.#streamKey);
    this.#client.socket.end();
    const timer = setTimeout(() => this.#client.destroy(), FAREWELL_MS);
    await this.#client.closed;
    clearTimeout(timer);
  }

  #sendDue(): void {
    if (this.#isLost) return;
    for (;;) {
      const tag = this.#recording.tags[this.#next];
      if (tag === undefined) throw new Error("the recording is empty");
      const timestamp = this.#round * this.#recording.periodMs + tag.timestamp;
      const due = this.#startedAt + timestamp;
      const now = performance.now();
      if (due > now) {
        this.#timer = setTimeout(() => this.#sendDue(), due - now);
        return;
      }
      this.#client.sendTag(tag, timestamp);
      if (tag.type === VIDEO) this.#note(performance.now(), due);
      this.#next = (this.#next + 1) % this.#recording.tags.length;
      if (this.#next === 0) this.#round += 1;
    }
  }

  #note(now: number, due: number): void {
    const frame = this.#sentAt.push(now) - 1;
    this.#latenessMs.push(now - due);
    this.#waiting.get(frame)?.resolve(now);
    this.#waiting.delete(frame);
  }
}
