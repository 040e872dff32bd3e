import type { OriginStatus, StreamStatus } from "../../origin/status.ts";

/** A live stream's status; `changes` are what matters to a test. */
export function streamStatus(changes: Partial<StreamStatus> = {}): StreamStatus {
  return {
    stream: "0123456789abcdefghjkmnpq",
    epoch: 1,
    broadcast: 1,
    profile: "passthrough",
    renditions: ["source", "audio"],
    standby: false,
    since: "2026-11-21T12:00:00.000Z",
    health: "good",
    health_reasons: [],
    fps: 30,
    bitrate_kbps: 1500,
    keyframe_interval: 2,
    dropped_frames: 0,
    timestamp_jumps: 0,
    speed: 1,
    waiting_bytes: 0,
    transcoder_pid: null,
    ...changes,
  };
}

/** The status of an origin that does nothing. */
export function originStatus(changes: Partial<OriginStatus> = {}): OriginStatus {
  return {
    originId: "box-1",
    draining: false,
    drainDeadline: null,
    ingest: { pids: [101, 102], connections: 0 },
    edgeAwaySeconds: null,
    alarms: [],
    spool: { memoryBytes: 0, diskBytes: 0 },
    headroom: { eventLoop: 0.1, cpu: 0.2, memoryAvailableBytes: 4e9, memoryTotalBytes: 8e9 },
    streams: [],
    ...changes,
  };
}
