import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClientProcess } from "./client-process.ts";
import type { Cleanup } from "./figure.ts";
import { FrameClock } from "./frame-clock.ts";
import { monotonicMs } from "./monotonic.ts";
import { type Recording, saveRecording } from "./recording.ts";

/** What the encoders' process is asked. */
export type EncodersQuestion =
  | { kind: "load"; path: string; periodMs: number }
  | { kind: "start"; rtmpPort: number; rampMs: number; encoders: { index: number; streamKey: string; isFollowed: boolean }[] }
  | { kind: "stop" | "abort"; indices: number[] }
  | { kind: "garbage"; rtmpPort: number }
  | { kind: "state" };

/** What it tells unasked; `at` in ms of the machine's monotonic clock. */
export type EncodersEvent = { kind: "frame"; index: number; at: number } | { kind: "lost"; index: number; reason: string };

export interface EncodersState {
  live: number;
  /** Why connections were lost, since the start. */
  lost: string[];
  /** How late each frame was sent, ms, since the state was asked for last. */
  lateness: number[];
  /** Of the encoders' own process, since its start. */
  cpuSeconds: number;
}

/** Many encoders in one process of their own, which send the same recording in real time. */
export class Encoders {
  readonly #process: ClientProcess;
  readonly #rtmpPort: number;
  readonly #streamKeys: string[];
  readonly #clocks = new Map<number, FrameClock>();

  private constructor(process: (onEvent: (event: EncodersEvent) => void) => ClientProcess, rtmpPort: number, streamKeys: string[]) {
    this.#rtmpPort = rtmpPort;
    this.#streamKeys = streamKeys;
    this.#process = process((event) => this.#hear(event));
  }

  /** Prepares an encoder for each stream key; none sends yet. */
  static async prepare(rtmpPort: number, streamKeys: string[], recording: Recording, cleanup: Cleanup): Promise<Encoders> {
    const directory = mkdtempSync(join(tmpdir(), "nova-edge-bench-recording-"));
    cleanup.add(() => rmSync(directory, { recursive: true, force: true }));
    const path = join(directory, "recording.flv");
    saveRecording(recording, path);
    const script = new URL("./encoders-process.ts", import.meta.url);
    const encoders = new Encoders(
      (onEvent) => new ClientProcess(script, cleanup, (event) => onEvent(event as EncodersEvent)),
      rtmpPort,
      streamKeys,
    );
    await encoders.#ask({ kind: "load", path, periodMs: recording.periodMs });
    return encoders;
  }

  /** From the next start of encoder `index` on, when its frames were sent. */
  follow(index: number): FrameClock {
    const clock = new FrameClock();
    this.#clocks.set(index, clock);
    return clock;
  }

  /** Lets encoders publish, one each `rampMs`. Rejects where one is refused. */
  async start(indices: number[], rampMs: number): Promise<void> {
    const encoders = indices.map((index) => ({ index, streamKey: this.#streamKeys[index] ?? "", isFollowed: this.#clocks.has(index) }));
    await this.#ask({ kind: "start", rtmpPort: this.#rtmpPort, rampMs, encoders });
  }

  /** Ends publishes as a stop button does. */
  async stop(indices: number[]): Promise<void> {
    await this.#ask({ kind: "stop", indices });
  }

  /** Ends them as a power cut does. */
  async abort(indices: number[]): Promise<void> {
    await this.#ask({ kind: "abort", indices });
  }

  /** Opens a connection that talks nonsense. Resolves when the server has closed it. */
  async sendGarbage(): Promise<void> {
    await this.#ask({ kind: "garbage", rtmpPort: this.#rtmpPort });
  }

  readState(): Promise<EncodersState> {
    return this.#ask({ kind: "state" });
  }

  /** Of all encoders. */
  get indices(): number[] {
    return [...this.#streamKeys.keys()];
  }

  #ask<Reply>(question: EncodersQuestion): Promise<Reply> {
    return this.#process.ask<Reply>(question);
  }

  #hear(event: EncodersEvent): void {
    const clock = this.#clocks.get(event.index);
    if (event.kind === "lost") clock?.lose(`an encoder was lost: ${event.reason}`);
    else clock?.note(event.at - monotonicMs() + performance.now());
  }
}
