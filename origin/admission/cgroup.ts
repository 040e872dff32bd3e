import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What a control group (v2) allows this process; null where it sets no limit. */
export interface CgroupLimits {
  /** Bytes of memory it may use, and uses without what can be dropped at once. */
  memory: { maxBytes: number; usedBytes: number } | null;
  /** Processors it may use, and how long it has used any so far, seconds. */
  cpu: { processors: number; usedSeconds: number } | null;
}

/** Reads the limits of the group that this process is in. Whatever cannot be read counts as no limit. */
export function readCgroup(procDirectory: string, cgroupDirectory: string): CgroupLimits {
  const directory = findGroup(procDirectory, cgroupDirectory);
  const read = (name: string) => readText(join(directory, name));
  return { memory: readMemory(read), cpu: readCpu(read) };
}

/** Where its files are: a container sees its own group as the root, a service of the system lies below it. */
function findGroup(procDirectory: string, cgroupDirectory: string): string {
  const [, path] = /^0::(\/.*)$/m.exec(readText(join(procDirectory, "self", "cgroup"))) ?? [];
  const own = path === undefined ? cgroupDirectory : join(cgroupDirectory, path);
  return readText(join(own, "memory.max")) === "" ? cgroupDirectory : own;
}

function readMemory(read: (name: string) => string): CgroupLimits["memory"] {
  const maxBytes = Number.parseInt(read("memory.max"), 10);
  const current = Number.parseInt(read("memory.current"), 10);
  if (!Number.isFinite(maxBytes) || !Number.isFinite(current)) return null;
  // Pages of files that nobody has touched lately are given up first: a spool on disk does not use memory up.
  const [, inactive] = /^inactive_file (\d+)$/m.exec(read("memory.stat")) ?? [];
  return { maxBytes, usedBytes: Math.max(0, current - Number(inactive ?? 0)) };
}

function readCpu(read: (name: string) => string): CgroupLimits["cpu"] {
  const [, quota, period] = /^(\d+) (\d+)/.exec(read("cpu.max")) ?? [];
  const [, used] = /^usage_usec (\d+)$/m.exec(read("cpu.stat")) ?? [];
  if (quota === undefined || used === undefined || Number(quota) === 0 || Number(period) === 0) return null;
  return { processors: Number(quota) / Number(period), usedSeconds: Number(used) / 1e6 };
}

/** A file's text; empty where it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
