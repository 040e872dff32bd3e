import type { StreamDetails } from "./state.ts";

/** What HTTP knows of a stream; null where it does not answer, or not to viewers. */
export type Lookup = { found: false } | { found: true; details: StreamDetails | null } | null;

const TIMEOUT_MS = 5_000;

/** Asks the API, and where it is closed to viewers the socket's own address: either knows a stream that does not exist. */
export async function lookUpStream(id: string): Promise<Lookup> {
  const address = `/api/v1/streams/${id}`;
  try {
    const answer = await fetch(address, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.status === 404) return { found: false };
    if (answer.ok) return { found: true, details: (await answer.json()) as StreamDetails };
    if (answer.status !== 401 && answer.status !== 403) return null;
    const socket = await fetch(`${address}/ws`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return socket.status === 404 ? { found: false } : { found: true, details: null };
  } catch {
    return null;
  }
}
