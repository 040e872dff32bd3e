import { cpus, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { type EventLoopUtilization, performance } from "node:perf_hooks";
import { readCgroup, readText } from "./cgroup.ts";

/** How busy an origin and its machine are, of what they may use. */
export interface Load {
  /** Share of the last 10 s that the main process was busy, 0–1. */
  eventLoop: number;
  /** Share of the processors, of the machine or of the container's quota, that was used in the last 10 s, 0–1. */
  cpu: number;
  memoryAvailableBytes: number;
  memoryTotalBytes: number;
}

interface Sample {
  /** Seconds of a clock that only rises. */
  at: number;
  eventLoop: EventLoopUtilization;
  /** Seconds of all processors since the machine has started. */
  machine: { busy: number; total: number };
  /** Seconds that the control group used of its quota. */
  groupSeconds: number | null;
  groupProcessors: number;
}

const EVERY_MS = 1_000;
const WINDOW_SECONDS = 10;

/** Measures the load each second, so that a moment's peak refuses nobody. */
export class Headroom {
  readonly #procDirectory: string;
  readonly #cgroupDirectory: string;
  #samples: Sample[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(directories: { proc?: string; cgroup?: string } = {}) {
    this.#procDirectory = directories.proc ?? "/proc";
    this.#cgroupDirectory = directories.cgroup ?? "/sys/fs/cgroup";
  }

  start(): void {
    this.#samples = [this.#take()];
    this.#timer = setInterval(() => this.#keep(), EVERY_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** The load now. In the first 10 s, what was not measured yet counts as idle. */
  load(): Load {
    const now = this.#take();
    const before = this.#samples[0] ?? now;
    const memory = this.#memory();
    // The oldest sample may be younger than the window, or older where the process was held up.
    const measured = Math.min(1, (now.at - before.at) / WINDOW_SECONDS);
    const { utilization } = performance.eventLoopUtilization(now.eventLoop, before.eventLoop);
    return { eventLoop: clamp(utilization * measured), cpu: clamp(cpuShare(before, now) * measured), ...memory };
  }

  #keep(): void {
    this.#samples.push(this.#take());
    if (this.#samples.length > WINDOW_SECONDS) this.#samples.shift();
  }

  #take(): Sample {
    const { cpu } = readCgroup(this.#procDirectory, this.#cgroupDirectory);
    return {
      at: performance.now() / 1000,
      eventLoop: performance.eventLoopUtilization(),
      machine: readMachine(readText(join(this.#procDirectory, "stat"))),
      groupSeconds: cpu?.usedSeconds ?? null,
      groupProcessors: cpu?.processors ?? 0,
    };
  }

  #memory(): Pick<Load, "memoryAvailableBytes" | "memoryTotalBytes"> {
    const text = readText(join(this.#procDirectory, "meminfo"));
    const kilobytes = (name: string) => new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
    const available = kilobytes("MemAvailable");
    const total = kilobytes("MemTotal");
    const machine = {
      memoryAvailableBytes: available === undefined ? freemem() : Number(available) * 1024,
      memoryTotalBytes: total === undefined ? totalmem() : Number(total) * 1024,
    };
    const { memory } = readCgroup(this.#procDirectory, this.#cgroupDirectory);
    if (memory === null) return machine;
    return {
      memoryAvailableBytes: Math.max(0, Math.min(machine.memoryAvailableBytes, memory.maxBytes - memory.usedBytes)),
      memoryTotalBytes: Math.min(machine.memoryTotalBytes, memory.maxBytes),
    };
  }
}

/** The tighter of two: what the machine has left, and what the quota does. */
function cpuShare(before: Sample, now: Sample): number {
  const total = now.machine.total - before.machine.total;
  const machine = total > 0 ? (now.machine.busy - before.machine.busy) / total : 0;
  const seconds = now.at - before.at;
  if (now.groupSeconds === null || before.groupSeconds === null || seconds <= 0) return machine;
  return Math.max(machine, (now.groupSeconds - before.groupSeconds) / (now.groupProcessors * seconds));
}

/** The processors' times from `/proc/stat`, or from the system's own call where there is none; only differences are of use. */
function readMachine(stat: string): Sample["machine"] {
  const [, line] = /^cpu +(.+)$/m.exec(stat) ?? [];
  if (line === undefined) {
    const times = cpus().map(({ times }) => times);
    const total = times.reduce((sum, time) => sum + time.user + time.nice + time.sys + time.irq + time.idle, 0);
    return { total, busy: total - times.reduce((sum, time) => sum + time.idle, 0) };
  }
  // user nice system idle iowait irq softirq steal: a guest's time is in user's already.
  const fields = line.trim().split(/\s+/).slice(0, 8).map(Number);
  const total = fields.reduce((sum, field) => sum + field, 0);
  return { total, busy: total - (fields[3] ?? 0) - (fields[4] ?? 0) };
}

/** A share of nothing, as of no time at all, is none. */
function clamp(share: number): number {
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
}
