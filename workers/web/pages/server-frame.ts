import type { ServerFrame } from "../../../domain/protocol/events.ts";

/** Every event, listed by the compiler's demand: one that the contract gains is an error here. */
const KNOWN: Record<ServerFrame["event"], true> = {
  connection_established: true,
  viewer_count_changed: true,
  stream_started: true,
  stream_reconnecting: true,
  stream_ended: true,
  error: true,
};

/**
 * A frame of the stream's socket, or null where it is none that this page knows (a newer server may send more).
 * The sender is our own origin, so the schemas stay on the server: they would outweigh the rest of the page.
 */
export function parseServerFrame(text: string): ServerFrame | null {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof frame !== "object" || frame === null || !("event" in frame) || !("data" in frame)) return null;
  if (typeof frame.event !== "string" || !Object.hasOwn(KNOWN, frame.event)) return null;
  if (typeof frame.data !== "object" || frame.data === null) return null;
  return frame as ServerFrame;
}
