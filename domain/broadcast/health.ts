import type { Health } from "../protocol/events.ts";
import type { Heartbeat } from "../protocol/origin-link.ts";

/** Below these the origin falls behind what the encoder sends. */
const FAIR_SPEED = 0.95;
const POOR_SPEED = 0.9;
/** Share of dropped frames that viewers see. */
const POOR_DROPS = 0.05;

/**
 * How well the encoder's stream arrives, from what its origin says each second. `before` is the heartbeat to compare with, where there is one; a stream
 * without pictures has no frame rate.
 */
export function computeHealth(heartbeat: Heartbeat, before: Heartbeat | null, hasVideo = true): Health {
  const { fps, speed } = heartbeat;
  const dropped = Math.max(0, heartbeat.dropped_frames - (before?.dropped_frames ?? 0));
  const expected = Math.max(1, fps, before?.fps ?? 0);
  if ((fps === 0 && hasVideo) || speed < POOR_SPEED || dropped > POOR_DROPS * expected) return "poor";
  if (speed < FAIR_SPEED || dropped > 0) return "fair";
  return "good";
}
