import type { Health } from "../protocol/events.ts";
import type { Heartbeat } from "../protocol/origin-link.ts";

/** Below these the origin falls behind what the encoder sends. */
const FAIR_SPEED = 0.95;
const POOR_SPEED = 0.9;
/** Share of dropped frames that viewers see. */
const POOR_DROPS = 0.05;
/** Seconds between key frames that make viewers wait. */
const LONG_KEYFRAME_INTERVAL = 4;
/** Below this share of its usual rate the picture is no longer smooth. */
const LOW_FRAME_RATE = 0.8;

/** What a heartbeat measures. */
export type Measured = Omit<Heartbeat, "health" | "health_reasons" | "warnings">;

/** What a heartbeat is judged by, besides itself. */
export interface HealthContext {
  /** The heartbeat to compare with, of the same connection; null where there is none. */
  before: Measured | null;
  /** Seconds between the two; 1 where nothing is said. */
  seconds?: number;
  /** Frames per second that this encoder sends when all is well; null where that is not known. */
  usualFps?: number | null;
  /** A stream without pictures has no frame rate. */
  hasVideo?: boolean;
}

/** How well an encoder's stream arrives, and why not better: in words for the broadcaster, what weighs most first. */
export interface HealthReport {
  health: Health;
  reasons: string[];
}

/** How well the encoder's stream arrives, from what its origin measures each second. */
export function computeHealth(measured: Measured, { before, seconds = 1, usualFps = null, hasVideo = true }: HealthContext): HealthReport {
  const { fps, speed, keyframe_interval: interval } = measured;
  const dropped = Math.max(0, measured.dropped_frames - (before?.dropped_frames ?? 0));
  const jumps = Math.max(0, measured.timestamp_jumps - (before?.timestamp_jumps ?? 0));
  const expected = Math.max(1, Math.max(fps, before?.fps ?? 0) * seconds);
  const poor: string[] = [];
  const fair: string[] = [];
  if (hasVideo && fps === 0) poor.push("no pictures arrive: check the encoder and its connection");
  if (speed < FAIR_SPEED)
    (speed < POOR_SPEED ? poor : fair).push(
      `falls behind: ${Math.round(speed * 100)} % of real time; lower the bitrate, or check the encoder's load and its upload`,
    );
  if (dropped > 0) (dropped > POOR_DROPS * expected ? poor : fair).push(`${dropped} ${dropped === 1 ? "frame" : "frames"} dropped`);
  if (jumps > 0) fair.push("the encoder's clock jumps: check its audio and capture devices");
  if (hasVideo && fps > 0 && usualFps !== null && fps < LOW_FRAME_RATE * usualFps)
    fair.push(`the frame rate fell to ${round(fps)} from ${round(usualFps)} a second: the encoder is overloaded, or its upload too slow`);
  if (hasVideo && interval !== null && interval > LONG_KEYFRAME_INTERVAL)
    fair.push(`key frames are ${round(interval)} s apart: set the encoder's key frame interval to 2 s`);
  return { health: poor.length > 0 ? "poor" : fair.length > 0 ? "fair" : "good", reasons: [...poor, ...fair] };
}

/** The origin's own judgement where it made one, else what its figures say. */
export function healthOf(heartbeat: Heartbeat, context: HealthContext): HealthReport {
  if (heartbeat.health === null) return computeHealth(heartbeat, context);
  return { health: heartbeat.health, reasons: heartbeat.health_reasons };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
