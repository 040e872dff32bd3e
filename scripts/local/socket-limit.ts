import { readFileSync } from "node:fs";

/** workerd holds two descriptors for each local socket, and crashes where there are no more. */
const DESCRIPTORS_PER_SOCKET = 2;
/** For everything else: requests, storage, and sockets whose clients went a moment ago. */
const RESERVED = 1_500;
const MOST = 32_000;
/** Where the system does not say. */
const USUAL = 9_000;

/** How many sockets a local edge takes, by the descriptors that the system gives a process. */
export function localSocketLimit(): number {
  const descriptors = descriptorLimit();
  if (descriptors === null) return USUAL;
  return Math.max(100, Math.min(MOST, Math.floor((descriptors - RESERVED) / DESCRIPTORS_PER_SOCKET)));
}

/** The hard limit, which Node raises its own and its children's to; null where the system does not say. */
function descriptorLimit(): number | null {
  try {
    const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard) || null;
  } catch {
    return null;
  }
}
