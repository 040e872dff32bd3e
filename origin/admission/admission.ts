import { PROFILES, type ProfileName } from "../../domain/profiles.ts";
import type { Load } from "./headroom.ts";

const MOST_EVENT_LOOP = 0.95;
const MOST_CPU = 0.9;
const LEAST_MEMORY_SHARE = 0.05;
const LEAST_MEMORY_BYTES = 150 << 20;

/**
 * Whether one more publish would hurt those that are live: null, or why it is refused, in words for the encoder. `streams` counts
 * the publishes beside this one; `profile` is null while the edge has not named it.
 */
export function decideAdmission(
  load: Load & { streams: number },
  request: { profile: ProfileName | null },
  limits: { maxStreams: number },
): string | null {
  if (load.streams >= limits.maxStreams) {
    return `this origin is full: it takes ${limits.maxStreams} streams at a time; publish to another one, or try again later`;
  }
  if (load.eventLoop > MOST_EVENT_LOOP) {
    return "this origin is too busy for one more stream: publish to another one, or try again in a minute";
  }
  if (load.memoryAvailableBytes < Math.max(LEAST_MEMORY_BYTES, load.memoryTotalBytes * LEAST_MEMORY_SHARE)) {
    return "this origin has too little memory left for one more stream: publish to another one, or try again in a minute";
  }
  // What else runs on the machine may use its processors as it likes: only what has to encode is refused for that.
  if (request.profile !== null && PROFILES[request.profile].rungs.length > 0 && load.cpu > MOST_CPU) {
    return "this origin's processors are too busy to encode one more stream: publish to another one, or use the profile passthrough";
  }
  return null;
}
