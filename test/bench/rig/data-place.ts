import { statfsSync } from "node:fs";
import { tmpdir } from "node:os";

const MEMORY = "/dev/shm";

/**
 * Where a local edge may keep that many bytes: in memory where the system has room for them, else on disk. The simulated bucket and databases wait for the
 * disk at each write, a hundred streams of them more than most disks can take, and it is not the disk of this machine that is measured.
 */
export function placeFor(bytes: number): { directory: string; isMemory: boolean } {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    if (bavail * bsize > 2 * bytes) return { directory: MEMORY, isMemory: true };
  } catch {
    // No such directory on this system.
  }
  return { directory: tmpdir(), isMemory: false };
}
