import { NovaError } from "../errors.ts";
import type { Seconds } from "../time.ts";

/** What a player asks of a media playlist: the directives `_HLS_msn` and `_HLS_part`. */
export interface ReloadQuery {
  msn: number | null;
  part: number | null;
}

/** How far a rendition has got. */
export interface LiveHead {
  /** The last complete segment that is listed; `firstMsn - 1` where there is none. */
  complete: number;
  /** How many parts of the segment after it are listed. */
  openParts: number;
  /** How many parts a complete segment has; 0 where they are not known. */
  partsOf(msn: number): number;
}

/** What to do with a media playlist request; a refusal is thrown. */
export type ReloadDecision = "serve" | "hold";

/** How far past the last listed segment a request may be (BR2). */
const SEGMENTS_AHEAD = 2;

/**
 * What to do with a media playlist request: answer now, or hold it. Pure; rules BR1–BR4. Throws 400 `invalid_directive` for
 * one that is malformed or too far ahead (rfc8216bis §6.2.5.2).
 */
export function decideReload(head: LiveHead, query: ReloadQuery, partTarget: Seconds): ReloadDecision {
  const { msn, part } = query;
  if (msn === null) {
    // [BR1]
    if (part !== null) throw refusal("_HLS_part needs _HLS_msn");
    return "serve";
  }
  const lastListed = head.openParts > 0 ? head.complete + 1 : head.complete;
  // [BR2]
  if (msn > lastListed + SEGMENTS_AHEAD)
    throw refusal(`_HLS_msn=${msn} is more than ${SEGMENTS_AHEAD} past the last segment, ${lastListed}`);
  const advance = partTarget < 1 ? Math.ceil(3 / partTarget) : 3;
  if (part !== null && msn > head.complete) {
    const from = msn === head.complete + 1 ? head.openParts : 0;
    if (part > from + advance) throw refusal(`_HLS_part=${part} is more than ${advance} parts ahead`);
  }
  return isReached(head, query) ? "serve" : "hold";
}

/** Whether the playlist holds what the query waits for, or something later. A part past the end of its segment is part 0 of the next (BR3). */
export function isReached(head: LiveHead, { msn, part }: ReloadQuery): boolean {
  if (msn === null || msn < head.complete) return true;
  if (msn > head.complete) return msn === head.complete + 1 && part !== null && part < head.openParts;
  const parts = head.partsOf(msn);
  return part === null || parts === 0 || part < parts || head.openParts > 0;
}

function refusal(message: string): NovaError {
  return new NovaError(400, "invalid_directive", message);
}
