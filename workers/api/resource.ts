import type { StreamResource } from "../../domain/protocol/api/streams.ts";
import { isoTime, isoTimeOrNull } from "../../domain/time.ts";
import type { LiveFacts } from "../../durable-objects/live-stream/projector.ts";
import type { StreamRow } from "../store/schema.ts";

/** A stream as the API shows it. `live` has the object's own facts, exact; without it the row's projection stands. */
export function describeStream(row: StreamRow, site: { origin: string; rtmpUrl: string }, live: LiveFacts | null): StreamResource {
  const facts = live ?? row;
  return {
    id: row.id,
    title: row.title,
    description: row.description,
    tags: row.tags,
    status: facts.status,
    visibility: row.visibility,
    latency_mode: row.latencyMode,
    part_target: row.partTarget,
    dvr_window_seconds: row.dvrWindowSeconds,
    record: row.record,
    profile: row.profile,
    reconnect_window_seconds: row.reconnectWindowSeconds,
    rtmp_url: site.rtmpUrl,
    playback: { hls: `${site.origin}/hls/${row.id}/index.m3u8`, dash: `${site.origin}/dash/${row.id}/manifest.mpd` },
    watch_url: `${site.origin}/watch/${row.id}`,
    broadcast: facts.broadcast,
    viewer_count: facts.viewerCount,
    peak_viewers: facts.peakViewers,
    ...(live === null ? {} : { viewers: live.viewers }),
    end_reason: facts.endReason,
    started_at: isoTimeOrNull(facts.startedAt),
    ended_at: isoTimeOrNull(facts.endedAt),
    created_at: isoTime(row.createdAt),
    updated_at: isoTime(row.updatedAt),
    deleted_at: isoTimeOrNull(row.deletedAt),
  };
}
