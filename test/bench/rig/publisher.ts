import { RtmpClient } from "../../fakes/rtmp/client.ts";
import { FrameClock } from "./frame-clock.ts";
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
  readonly #clock = new FrameClock();
  readonly #lateness: { at: number; ms: number }[] = [];
  #next = 0;
  #round = 0;
  #timer: NodeJS.Timeout | null = null;
  #isLost = false;

  private constructor(client: RtmpClient, streamKey: string, recording: Recording) {
    this.#client = client;
    this.#streamKey = streamKey;
    this.#recording = recording;
    void client.closed.then(() => {
      this.#isLost = true;
      this.#clock.lose("the server closed the encoder's connection");
    });
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
    return this.#lateness.filter(({ at }) => at >= since).map(({ ms }) => ms);
  }

  /** When its frames were sent. */
  get clock(): FrameClock {
    return this.#clock;
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
    this.#lateness.push({ at: now, ms: now - due });
    this.#clock.note(now);
  }
}
