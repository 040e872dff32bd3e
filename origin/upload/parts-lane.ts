import type { PartsAnswer, TracksRequest } from "../../domain/protocol/origin-link.ts";
import { type EdgeClient, EdgeRefusal, EdgeUnavailable, endsEpoch, type Lease } from "./edge-client.ts";
import type { HeartbeatRider } from "./heartbeat-rider.ts";
import type { Kept } from "./kept.ts";
import { retrying } from "./retry.ts";

/** What one call carries at most. */
const MAX_PARTS = 32;
const MAX_BYTES = 4 << 20;
/** Sound waits so long for the picture to go along with; not where the picture has just left. */
const COMPANY_MS = 60;
const JUST_LEFT_MS = 120;
/** The picture waits for its sound, which comes up to 100 ms later, only where the edge is short of capacity: so many times what its answers are late. */
const DELAY_FACTOR = 4;
const LONGEST_PICTURE_MS = 120;

/** A part to upload. */
export interface PartUpload {
  rendition: string;
  msn: number;
  part: number;
  duration: number;
  independent: boolean;
  bytes: Uint8Array;
}

type PartName = Omit<PartUpload, "bytes">;

interface WaitingPart {
  part: PartName;
  kept: Kept;
  /** Monotonic, ms. */
  since: number;
  /** It was refused together with others: it goes by itself, to find out which of them it was. */
  alone: boolean;
  resolve(): void;
}

/** How a lane of parts is wired. */
export interface PartsLaneOptions {
  edge: EdgeClient;
  lease: Lease;
  /** Time is out, or nothing more is taken. */
  signal: AbortSignal;
  /** Nothing leaves before it. */
  gate: Promise<void>;
  /** Heartbeats that want to go along. */
  rider: HeartbeatRider;
  /** Whether a part is of no use any more. */
  isStale(part: PartName): boolean;
  /** The edge has a part, so many seconds after it was handed over. */
  onUploaded(seconds: number): void;
  onFailed(error: unknown, part: PartName): void;
}

/** The parts of all renditions of an epoch, in order: each call takes along all that wait. */
export class PartsLane {
  readonly #options: PartsLaneOptions;
  readonly #queue: WaitingPart[] = [];
  #sounds = new Set<string>();
  #hasBoth = false;
  #pictureLeftAt = Number.NEGATIVE_INFINITY;
  #bundle: WaitingPart[] = [];
  #isUnderWay = false;
  #running: Promise<void> | null = null;
  #wake: () => void = () => undefined;

  constructor(options: PartsLaneOptions) {
    this.#options = options;
  }

  get empty(): boolean {
    return this.#queue.length === 0;
  }

  /** What kind of media the renditions are. */
  announce({ renditions }: TracksRequest): void {
    this.#sounds = new Set(renditions.flatMap(({ kind, name }) => (kind === "audio" ? [name] : [])));
    this.#hasBoth = this.#sounds.size > 0 && this.#sounds.size < renditions.length;
  }

  /** Adds a part. Resolves when it is through: uploaded, refused or dropped. */
  push(part: PartName, kept: Kept): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#queue.push({ part, kept, since: performance.now(), alone: false, resolve });
    this.#wake();
    this.#running ??= this.#run();
    return promise;
  }

  /** Drops the parts that wait and meet a condition; those under way stay. */
  drop(condition: (part: PartName) => boolean): void {
    for (const item of [...this.#queue]) {
      if (condition(item.part) && !(this.#isUnderWay && this.#bundle.includes(item))) this.#settle(item);
    }
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #run(): Promise<void> {
    const { edge, lease, signal, gate } = this.#options;
    await gate;
    while (!this.empty) {
      await this.#due();
      try {
        await retrying(() => edge.turns.take("part", lease.stream, signal, () => this.#send()), signal, edge.health);
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#running = null;
  }

  /** Resolves when what waits shall leave. */
  async #due(): Promise<void> {
    for (let waitMs = this.#waitMs(); waitMs > 0; waitMs = this.#waitMs()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, waitMs);
      this.#wake = resolve;
      await promise;
      clearTimeout(timer);
    }
  }

  #waitMs(): number {
    const { edge, signal } = this.#options;
    if (!this.#hasBoth || signal.aborted) return 0;
    const now = performance.now();
    const pictureMs = Math.min(LONGEST_PICTURE_MS, edge.turns.delayMs * DELAY_FACTOR);
    const kinds = new Set<boolean>();
    let due = Number.POSITIVE_INFINITY;
    for (const { part, since } of this.#queue) {
      const isSound = this.#sounds.has(part.rendition);
      kinds.add(isSound);
      const soundMs = since - this.#pictureLeftAt < JUST_LEFT_MS ? 0 : COMPANY_MS;
      due = Math.min(due, since + (isSound ? soundMs : pictureMs));
      if (kinds.size > 1 || due <= now) return 0;
    }
    return this.empty ? 0 : Math.ceil(due - now);
  }

  /** Sends what waits now, as far as one call carries it. Rejects with `EdgeUnavailable` where some of it has to be sent again. */
  async #send(): Promise<void> {
    const bundle = this.#compose();
    this.#bundle = bundle;
    if (bundle.length === 0) return;
    const { edge, lease, signal, rider } = this.#options;
    if (bundle.some(({ part }) => !this.#sounds.has(part.rendition))) this.#pictureLeftAt = performance.now();
    const ride = rider.board();
    const parts = bundle.map(({ part, kept: { size } }) => ({ ...part, size }));
    const bytes = bundle.flatMap(({ kept }) => kept.bytes ?? []);
    this.#isUnderWay = true;
    try {
      const answer = await edge.parts(lease, { parts, heartbeat: ride?.health ?? null }, bytes, signal);
      ride?.arrive(answer.heartbeat);
      this.#take(bundle, answer.parts);
    } catch (error) {
      ride?.goAlone();
      throw error;
    } finally {
      this.#isUnderWay = false;
    }
  }

  #compose(): WaitingPart[] {
    for (const item of [...this.#queue]) if (item.kept.lost || this.#options.isStale(item.part)) this.#settle(item);
    const bundle: WaitingPart[] = [];
    let size = 0;
    for (const item of this.#queue) {
      size += item.kept.size;
      if (bundle.length > 0 && (item.alone || size > MAX_BYTES || bundle.length === MAX_PARTS)) break;
      bundle.push(item);
      if (item.alone) break;
    }
    return bundle;
  }

  #take(bundle: readonly WaitingPart[], answers: PartsAnswer["parts"]): void {
    let missed: string | null = null;
    for (const [index, item] of bundle.entries()) {
      const answer = answers[index];
      if (answer === undefined) continue;
      if (!("error" in answer)) this.#options.onUploaded((performance.now() - item.since) / 1000);
      else if (answer.status >= 500 || answer.status === 429) {
        missed = answer.message;
        continue;
      } else this.#options.onFailed(new EdgeRefusal(answer.status, answer.error, answer.message), item.part);
      this.#settle(item);
    }
    if (missed !== null) throw new EdgeUnavailable(missed);
  }

  #fail(error: unknown): void {
    const isOver = this.#options.signal.aborted;
    const bundle = isOver || this.#bundle.length === 0 ? [...this.#queue] : this.#bundle;
    if (!isOver && bundle.length > 1 && error instanceof EdgeRefusal && !endsEpoch(error)) {
      for (const item of bundle) item.alone = true;
      return;
    }
    for (const item of bundle) {
      this.#options.onFailed(error, item.part);
      this.#settle(item);
    }
  }

  #settle(item: WaitingPart): void {
    const index = this.#queue.indexOf(item);
    if (index < 0) return;
    this.#queue.splice(index, 1);
    item.kept.release();
    item.resolve();
  }
}
