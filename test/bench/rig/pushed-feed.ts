import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Track } from "../../../domain/protocol/origin-link.ts";
import { EdgeClient, type Lease } from "../../../origin/upload/edge-client.ts";
import type { Edge } from "./edge.ts";
import { monotonicMs } from "./monotonic.ts";

/** What is pushed: the tracks, and how many kbit/s of each. */
export interface FeedRendition {
  track: Track;
  kbps: number;
}

/** One video of 1.5 Mbit/s. */
export const VIDEO_FEED: FeedRendition = {
  track: {
    kind: "video",
    name: "source",
    codec: "avc1.64001f",
    width: 1280,
    height: 720,
    frame_rate: 30,
    bandwidth: 1_500_000,
    part_target: 0.5,
  },
  kbps: 1_500,
};

/** The sound beside it, 128 kbit/s. */
export const AUDIO_FEED: FeedRendition = {
  track: { kind: "audio", name: "audio", codec: "mp4a.40.2", channels: 2, sample_rate: 48_000, bandwidth: 128_000, part_target: 0.5 },
  kbps: 128,
};

/** Length of a part, ms. */
export const PART_MS = 500;
const PARTS_PER_SEGMENT = 4;
const SEGMENT_MS = PARTS_PER_SEGMENT * PART_MS;
const HEARTBEAT_MS = 1_000;
const INIT_BYTES = 800;

/** An origin without an encoder: pushes parts and segments of the right size and length, full of noise, as `/origin/v1` takes them. */
export class PushedFeed {
  readonly broadcast: number;
  readonly #client: EdgeClient;
  readonly #lease: Lease;
  readonly #renditions: FeedRendition[];
  readonly #startedAt: number;
  readonly #open = new Map<string, Buffer[]>();
  readonly #stop = new AbortController();
  readonly #heartbeat: NodeJS.Timeout;
  #msn: number;
  #part = 0;
  #failure: unknown = null;
  #latestMs = 0;

  private constructor(
    client: EdgeClient,
    lease: Lease,
    start: { broadcast: number; msn: number; at: number },
    renditions: FeedRendition[],
  ) {
    this.#client = client;
    this.#lease = lease;
    this.broadcast = start.broadcast;
    this.#msn = start.msn;
    this.#startedAt = start.at;
    this.#renditions = renditions;
    this.#heartbeat = setInterval(() => void this.#beat().catch((error: unknown) => this.#fail(error)), HEARTBEAT_MS);
  }

  /** Opens a broadcast that seems to have run for some segments already, and pushes these at once. Rejects where the edge refuses. */
  static async start(edge: Edge, streamKey: string, renditions: FeedRendition[], segments: number): Promise<PushedFeed> {
    const client = new EdgeClient(edge.site, edge.originToken);
    const request = { stream_key: streamKey, origin_id: "bench", encoder: { software: null } };
    const answer = await client.publish(request, AbortSignal.timeout(10_000));
    const at = Date.now() - segments * SEGMENT_MS;
    const lease = { stream: answer.stream_id, epoch: answer.epoch, lease: answer.lease };
    const feed = new PushedFeed(client, lease, { broadcast: answer.broadcast, msn: answer.next_msn, at }, renditions);
    const tracks = { started_at: at, target_duration: SEGMENT_MS / 1000, renditions: renditions.map(({ track }) => track) };
    await client.call(lease, "PUT", "/tracks", tracks);
    for (const { track } of renditions) await client.call(lease, "PUT", `/${track.name}/init.mp4`, randomBytes(INIT_BYTES));
    for (let part = 0; part < segments * PARTS_PER_SEGMENT; part++) {
      await feed.pushPart();
      await feed.closeSegment();
    }
    return feed;
  }

  /** The part that is pushed next. */
  get next(): { msn: number; part: number } {
    return this.#part < PARTS_PER_SEGMENT ? { msn: this.#msn, part: this.#part } : { msn: this.#msn + 1, part: 0 };
  }

  /** How late a part was pushed at most while `run` went, ms. */
  get latestMs(): number {
    return this.#latestMs;
  }

  /** Throws what made a push or the heartbeat fail. */
  assertAlive(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /** Pushes the next part of every rendition. `sentAt`: when the first went out, by `monotonicMs()`. */
  async pushPart(): Promise<{ sentAt: number }> {
    this.assertAlive();
    const query = `duration=${PART_MS / 1000}&independent=${this.#part === 0 ? 1 : 0}`;
    const parts = this.#renditions.map(({ track, kbps }) => ({ name: track.name, bytes: randomBytes((kbps * PART_MS) / 8) }));
    const sentAt = monotonicMs();
    await Promise.all(
      parts.map(({ name, bytes }) => {
        this.#open.set(name, [...(this.#open.get(name) ?? []), bytes]);
        return this.#client.call(this.#lease, "PUT", `/${name}/${this.#msn}/${this.#part}?${query}`, bytes);
      }),
    );
    this.#part += 1;
    return { sentAt };
  }

  /** Pushes the open segment of every rendition where its last part has been pushed. */
  async closeSegment(): Promise<void> {
    if (this.#part < PARTS_PER_SEGMENT) return;
    const pdt = this.#startedAt + (this.#msn - 1) * SEGMENT_MS;
    await Promise.all(
      this.#renditions.map(({ track: { name } }) => {
        const bytes = Buffer.concat(this.#open.get(name) ?? []);
        return this.#client.call(this.#lease, "PUT", `/${name}/${this.#msn}?duration=${SEGMENT_MS / 1000}&pdt=${pdt}`, bytes);
      }),
    );
    this.#open.clear();
    this.#msn += 1;
    this.#part = 0;
  }

  /** Pushes a part every 0.5 s, or as many times slower as said, until the feed is stopped. What fails is kept for `assertAlive`. */
  run(slowdown = 1): void {
    void this.#pushAll(PART_MS * slowdown).catch((error: unknown) => this.#fail(error));
  }

  /** Stops pushing. */
  stop(): void {
    clearInterval(this.#heartbeat);
    this.#stop.abort();
  }

  async #pushAll(everyMs: number): Promise<void> {
    const started = monotonicMs();
    for (let number = 1; !this.#stop.signal.aborted; number++) {
      const due = started + number * everyMs;
      await sleep(Math.max(0, due - monotonicMs()));
      if (this.#stop.signal.aborted) return;
      const { sentAt } = await this.pushPart();
      this.#latestMs = Math.max(this.#latestMs, sentAt - due);
      await this.closeSegment();
    }
  }

  async #beat(): Promise<void> {
    const health = { fps: 30, bitrate_kbps: 1628, dropped_frames: 0, keyframe_interval: 2, speed: 1, warnings: [] };
    await this.#client.call(this.#lease, "POST", "/heartbeat", health);
  }

  #fail(error: unknown): void {
    if (!this.#stop.signal.aborted) this.#failure ??= error;
  }
}
