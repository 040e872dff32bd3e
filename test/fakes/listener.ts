import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The process that listens on a TCP port over IPv4. Linux only: throws where there is no /proc, or no such process of ours. */
export function findListener(port: number): number {
  const inode = inodeOf(port);
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) if (holds(pid, inode)) return Number(pid);
  throw new Error(`nobody listens on port ${port}`);
}

function inodeOf(port: number): string {
  const address = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n")) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (local?.endsWith(address) && state === "0A" && inode !== undefined) return inode;
  }
  throw new Error(`nobody listens on port ${port}`);
}

function holds(pid: string, inode: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`;
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}
