import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { answerParent, tellParent } from "./client-process.ts";
import type { EncodersEvent, EncodersQuestion, EncodersState } from "./encoders.ts";
import { monotonicMs } from "./monotonic.ts";
import { PacedEncoder } from "./paced-encoder.ts";
import { Programme } from "./programme.ts";
import { loadRecording } from "./recording.ts";

// The encoders of a bench: many connections that send one recording, in a process of their own.

let programme: Programme | null = null;
const encoders = new Map<number, PacedEncoder>();
const lost: string[] = [];
let lateness: number[] = [];

answerParent((question: EncodersQuestion): Promise<unknown> => {
  switch (question.kind) {
    case "load":
      programme = new Programme(loadRecording(question.path, question.periodMs));
      return Promise.resolve(null);
    case "start":
      return start(question);
    case "stop":
      return stop(question.indices);
    case "abort":
      return Promise.resolve(abort(question.indices));
    case "garbage":
      return sendGarbage(question.rtmpPort);
    case "state":
      return Promise.resolve(readState());
  }
});

async function start({ rtmpPort, encoders: wanted, rampMs }: EncodersQuestion & { kind: "start" }): Promise<void> {
  if (programme === null) throw new Error("there is no recording yet");
  const starting: Promise<unknown>[] = [];
  for (const { index, streamKey, isFollowed } of wanted) {
    const tell = (event: EncodersEvent) => tellParent(event);
    const encoder = PacedEncoder.start(rtmpPort, streamKey, programme, {
      frame: (lateMs) => {
        lateness.push(lateMs);
        if (isFollowed) tell({ kind: "frame", index, at: monotonicMs() });
      },
      lost: (reason) => {
        lost.push(reason);
        encoders.delete(index);
        tell({ kind: "lost", index, reason });
      },
    });
    starting.push(encoder.then((started) => encoders.set(index, started)));
    encoder.catch(() => undefined);
    await sleep(rampMs);
  }
  await Promise.all(starting);
}

async function stop(indices: number[]): Promise<void> {
  await Promise.all(take(indices).map((encoder) => encoder.stop()));
}

function abort(indices: number[]): void {
  for (const encoder of take(indices)) encoder.abort();
}

function take(indices: number[]): PacedEncoder[] {
  return indices.flatMap((index) => {
    const encoder = encoders.get(index);
    encoders.delete(index);
    return encoder ?? [];
  });
}

/** A connection that shakes hands and then talks nonsense. Resolves when the server has closed it. */
function sendGarbage(rtmpPort: number): Promise<void> {
  const noise = Buffer.from(Array.from({ length: 64 << 10 }, (_, index) => (index * 7919 + (index >> 3) * 104_729 + 31) & 0xff));
  return new Promise((resolve) => {
    const socket = connect(rtmpPort, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.resume();
    socket.write(Buffer.concat([Buffer.from([3]), Buffer.alloc(2 * 1536, 7), noise]));
  });
}

function readState(): EncodersState {
  const { user, system } = process.cpuUsage();
  const state = { live: encoders.size, lost: [...lost], lateness, cpuSeconds: (user + system) / 1e6 };
  lateness = [];
  return state;
}
