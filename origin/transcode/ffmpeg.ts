import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import ffmpeg, { type FfmpegCommand } from "fluent-ffmpeg";
import { OutputSocket } from "./output-socket.ts";

/** What one FFmpeg does: options before its input, which is FLV, and outputs of one track each with their options. Names are also a socket's. */
export interface FfmpegJob {
  inputArguments: string[];
  outputs: { name: string; arguments: string[] }[];
}

/** What one FFmpeg reports. */
export interface FfmpegEvents {
  onOutput(name: string, bytes: Buffer): void;
  /** FFmpeg may take more input. */
  onDrain(): void;
  /** Once, after the last output; `error` is null where FFmpeg finished by itself. `lastWords` are the last lines of its stderr. */
  onExit(error: string | null, lastWords: string[]): void;
}

const KEPT_LINES = 20;
const LONGEST_LINE = 300;
const DRAIN_AFTER_EXIT_MS = 1000;
/** What is in here can no longer be left out where FFmpeg falls behind. */
const INPUT_BUFFER_BYTES = 256 * 1024;
/** Encoding gives way to the streams that only pass through. */
const NICENESS = 5;

const INPUT_OPTIONS = [
  ...["-hide_banner", "-nostats", "-loglevel", "warning", "-protocol_whitelist", "pipe,unix"],
  ...["-probesize", "2048", "-fpsprobesize", "0", "-analyzeduration", "0"],
];
// Every output keeps the input's clock: nothing is shifted to zero, and each fragment says where it stands.
const OUTPUT_OPTIONS = [
  ...["-copyts", "-avoid_negative_ts", "disabled", "-use_editlist", "0", "-map_metadata", "-1", "-fflags", "+bitexact"],
  ...["-flush_packets", "1", "-movflags", "+empty_moov+default_base_moof+frag_every_frame+frag_discont+skip_trailer"],
];

/** One FFmpeg that reads FLV on its stdin and writes fragmented MP4, an output a socket, a fragment a frame. */
export class Ffmpeg {
  readonly #events: FfmpegEvents;
  readonly #directory: string;
  readonly #input = new PassThrough({ highWaterMark: INPUT_BUFFER_BYTES });
  readonly #outputs: OutputSocket[];
  readonly #command: FfmpegCommand;
  #lastWords: string[] = [];
  #pid: number | null = null;
  #killed = false;
  #exited = false;

  private constructor(directory: string, job: FfmpegJob, sockets: OutputSocket[], events: FfmpegEvents) {
    this.#directory = directory;
    this.#outputs = sockets;
    this.#events = events;
    this.#input.on("drain", () => events.onDrain());
    // Input that comes after its process died goes nowhere; the exit is what counts.
    this.#input.on("error", () => {});
    this.#command = ffmpeg({ source: this.#input, stdoutLines: KEPT_LINES, niceness: NICENESS })
      .inputFormat("flv")
      .inputOptions(...INPUT_OPTIONS, ...job.inputArguments);
    for (const output of job.outputs) {
      this.#command
        .output(`unix:${join(directory, output.name)}`)
        .outputOptions(...output.arguments, ...OUTPUT_OPTIONS)
        .format("mp4");
    }
    this.#command
      .on("start", () => this.#onStart())
      .on("stderr", (line: string) => this.#note(line))
      .on("end", () => void this.#onExit(null))
      .on("error", (error: Error) => void this.#onExit(error.message.split("\n")[0] ?? "FFmpeg failed"));
  }

  /** Starts FFmpeg in a private directory under `runDirectory`, whose path must be short (a socket's has 107 bytes). Rejects where it cannot. */
  static async start(runDirectory: string, job: FfmpegJob, events: FfmpegEvents): Promise<Ffmpeg> {
    const directory = await mkdtemp(join(runDirectory, "ff-"));
    const sockets: OutputSocket[] = [];
    try {
      for (const { name } of job.outputs) {
        sockets.push(await OutputSocket.listen(join(directory, name), (bytes) => events.onOutput(name, bytes)));
      }
    } catch (error) {
      for (const socket of sockets) socket.close();
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
    const process = new Ffmpeg(directory, job, sockets, events);
    process.#command.run();
    return process;
  }

  /** The operating system's number of the process; null before it runs. */
  get pid(): number | null {
    return this.#pid;
  }

  /** Bytes that FFmpeg has not taken yet. */
  get backlog(): number {
    return this.#input.writableLength + this.#input.readableLength;
  }

  /** False where the caller should wait for `onDrain`. */
  write(bytes: Buffer): boolean {
    return this.#exited || this.#input.write(bytes);
  }

  /** No more input: FFmpeg writes what it has and exits. */
  end(): void {
    this.#input.end();
  }

  /** At once and without a trace; `onExit` still comes. */
  kill(): void {
    this.#killed = true;
    this.#input.destroy();
    if (this.#pid !== null && !this.#exited) this.#command.kill("SIGKILL");
  }

  #onStart(): void {
    // fluent-ffmpeg's types leave the process out.
    const { ffmpegProc } = this.#command as FfmpegCommand & { ffmpegProc?: { pid?: number } };
    this.#pid = ffmpegProc?.pid ?? null;
    if (this.#killed) this.#command.kill("SIGKILL");
  }

  #note(line: string): void {
    if (line.trim() === "") return;
    this.#lastWords.push(line.slice(0, LONGEST_LINE));
    if (this.#lastWords.length > KEPT_LINES) this.#lastWords.shift();
  }

  async #onExit(error: string | null): Promise<void> {
    this.#exited = true;
    // What the kernel still holds of a dead FFmpeg's output is as good as any: take it before anything is concluded.
    const connected = this.#outputs.filter((socket) => socket.isConnected).map((socket) => socket.finished);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DRAIN_AFTER_EXIT_MS);
    });
    await Promise.race([Promise.all(connected), late]);
    clearTimeout(timer);
    for (const socket of this.#outputs) socket.close();
    this.#input.destroy();
    await rm(this.#directory, { recursive: true, force: true }).catch(() => {});
    this.#events.onExit(error, this.#lastWords);
  }
}
