import type { EpochRun } from "./epoch-run.ts";
import type { StreamStatus } from "./status.ts";

/** An encoder connection as an operator sees it: of the epoch that runs, or of the stream that it stands by for; null where there is neither. */
export function describeStream(run: EpochRun | null, standbyFor: string | null, since: Date): StreamStatus | null {
  const stream = run?.answer.stream_id ?? standbyFor;
  if (stream === null) return null;
  const health = run?.health ?? null;
  return {
    stream,
    epoch: run?.answer.epoch ?? null,
    broadcast: run?.answer.broadcast ?? null,
    profile: run?.answer.profile ?? null,
    renditions: [...(run?.renditions ?? [])],
    standby: run === null,
    since: since.toISOString(),
    health: health?.health ?? null,
    health_reasons: health?.health_reasons ?? [],
    fps: health?.fps ?? 0,
    bitrate_kbps: health?.bitrate_kbps ?? 0,
    keyframe_interval: health?.keyframe_interval ?? null,
    dropped_frames: health?.dropped_frames ?? 0,
    timestamp_jumps: health?.timestamp_jumps ?? 0,
    speed: health?.speed ?? 1,
    waiting_bytes: run?.waitingBytes ?? 0,
    transcoder_pid: run?.pipeline.ffmpegPid ?? null,
  };
}
