import { REPLAY_MS } from "../protocol/events.ts";
import type { Millis } from "../time.ts";

/** An event as it was sent. */
export interface SentEvent {
  seq: number;
  at: Millis;
  /** The whole frame. */
  text: string;
  /** How long it is. */
  bytes: number;
  /** Bytes of all events up to and with this one, ever. */
  endsAt: number;
}

/** What a client that comes back is sent: what it missed and cannot have, then what it can. */
export interface Replay {
  gap: { from: number; to: number } | null;
  events: SentEvent[];
}

/** More than this is not sent at once: a client that does not read must not have it all in our memory. */
const MAX_REPLAY_BYTES = 32_768;

/** What to send to a client that has everything up to `seq`. `kept` holds the newest events, oldest first, without holes; `newest` is the last number given. */
export function decideReplay(kept: readonly SentEvent[], newest: number, seq: number, now: Millis): Replay {
  const total = kept.at(-1)?.endsAt ?? 0;
  // Times may fall where a clock was set back: nothing before the last that cannot be had is sent, or there were a hole.
  const lost = kept.findLastIndex(
    ({ seq: number, at, endsAt, bytes }) => number <= seq || now - at > REPLAY_MS || total - endsAt + bytes > MAX_REPLAY_BYTES,
  );
  const events = kept.slice(lost + 1);
  const next = events[0]?.seq ?? newest + 1;
  return { gap: next > seq + 1 ? { from: seq + 1, to: next - 1 } : null, events };
}
