import type { StreamFrame } from "./stream-events.ts";

/** Every event; the compiler demands that none is missing. */
const KNOWN: Record<StreamFrame["event"], true> = {
  connection_established: true,
  viewer_count_changed: true,
  stream_started: true,
  stream_reconnecting: true,
  stream_ended: true,
  stream_updated: true,
  quality_changed: true,
  bitrate_update: true,
  timed_metadata: true,
  gap: true,
  error: true,
};

/** A frame of which only the shape is known. */
export interface UnknownFrame {
  event: string;
  seq: number;
  data: object;
}

/** A text of the socket as a frame; null where it is none. */
export function parseFrame(text: string): UnknownFrame | null {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof frame !== "object" || frame === null || !("event" in frame) || !("seq" in frame) || !("data" in frame)) return null;
  const { event, seq, data } = frame;
  if (typeof event !== "string" || !Number.isSafeInteger(seq) || typeof data !== "object" || data === null) return null;
  return { event, seq: seq as number, data };
}

/**
 * Whether a frame is one that this client knows: a newer server may send others. The sender is the stream's own server, so what is in it is not
 * looked at: the schemas would outweigh everything else here.
 */
export function isKnownFrame(frame: UnknownFrame): frame is StreamFrame {
  return Object.hasOwn(KNOWN, frame.event);
}
