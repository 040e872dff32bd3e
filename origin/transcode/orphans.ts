import { readdirSync, readFileSync } from "node:fs";

/**
 * Kills the processes that write to a socket in one of these directories: FFmpegs that outlived their origin, which one that was stopped does, or
 * one that still reads. Looks at Linux's `/proc`; elsewhere it finds none.
 */
export function killOrphans(directories: readonly string[]): void {
  if (directories.length === 0) return;
  const marks = directories.map((directory) => `unix:${directory}/`);
  for (const name of listProcesses()) {
    const pid = Number(name);
    if (readArguments(name).some((argument) => marks.some((mark) => argument.startsWith(mark)))) kill(pid);
  }
}

function listProcesses(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^[1-9]\d*$/.test(name) && Number(name) !== process.pid);
  } catch {
    return [];
  }
}

/** Empty where the process has gone meanwhile. */
function readArguments(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has gone by itself, or belongs to somebody else.
  }
}
