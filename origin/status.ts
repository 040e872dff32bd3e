import type { ProfileName } from "../domain/profiles.ts";
import type { Health } from "../domain/protocol/events.ts";
import type { Load } from "./admission/headroom.ts";

/** One encoder connection, as an operator sees it; never its key or lease. */
export interface StreamStatus {
  stream: string;
  /** Null while it stands by. */
  epoch: number | null;
  broadcast: number | null;
  profile: ProfileName | null;
  /** Names of what viewers are offered. */
  renditions: string[];
  /** A backup that waits for its turn. */
  standby: boolean;
  /** When its publish was accepted, ISO 8601. */
  since: string;
  /** Null until it has been judged. */
  health: Health | null;
  health_reasons: string[];
  fps: number;
  bitrate_kbps: number;
  /** Seconds; null before the second key frame. */
  keyframe_interval: number | null;
  dropped_frames: number;
  timestamp_jumps: number;
  /** Media time over wall time; below 1 something falls behind. */
  speed: number;
  /** Media that the edge does not have yet, in memory and on disk. */
  waiting_bytes: number;
  transcoder_pid: number | null;
}

/** What an origin is doing. */
export interface OriginStatus {
  originId: string;
  draining: boolean;
  /** When the live publishes are ended, Unix ms; null while it does not drain. */
  drainDeadline: number | null;
  /** Ids of the ingest processes that live, and how many connections they hold. */
  ingest: { pids: number[]; connections: number };
  /** For how long the edge has not answered; null while it does. */
  edgeAwaySeconds: number | null;
  /** What an operator should look at now, in words. */
  alarms: string[];
  /** Media that waits for the edge. */
  spool: { memoryBytes: number; diskBytes: number };
  headroom: Load;
  streams: StreamStatus[];
}

/** Whether new encoders may be sent to an origin, and if not, why. */
export interface Readiness {
  ready: boolean;
  reasons: string[];
}
