import type { TracksRequest } from "../../domain/protocol/origin-link.ts";
import { EdgeClient } from "../../origin/upload/edge-client.ts";
import type { Platform } from "./platform.ts";

const HEARTBEAT_MS = 1_000;
const HEALTH = { fps: 30, bitrate_kbps: 1_500, dropped_frames: 0, keyframe_interval: 2, speed: 1, warnings: [] };
const TRACKS: Omit<TracksRequest, "started_at"> = {
  target_duration: 2,
  renditions: [
    {
      ...{ kind: "video", name: "source", codec: "avc1.64001f", width: 1280, height: 720 },
      ...{ frame_rate: 30, bandwidth: 1_500_000, part_target: 0.5 },
    },
  ],
};

/** A broadcast that is live and has no media: an origin that only declares its tracks and renews its lease. */
export async function holdBroadcast(platform: Platform, streamKey: string): Promise<{ stop(): void }> {
  const client = new EdgeClient(platform.site, platform.originToken);
  const request = { stream_key: streamKey, origin_id: "holder", encoder: { software: null } };
  const { stream_id, epoch, lease: secret } = await client.publish(request, AbortSignal.timeout(10_000));
  const lease = { stream: stream_id, epoch, lease: secret };
  await client.call(lease, "PUT", "/tracks", { ...TRACKS, started_at: Date.now() });
  await client.call(lease, "PUT", "/source/init.mp4", Buffer.alloc(800, 1));
  // A beat that is lost while the edge restarts is followed by another.
  const timer = setInterval(() => void client.call(lease, "POST", "/heartbeat", HEALTH).catch(() => undefined), HEARTBEAT_MS);
  return { stop: () => clearInterval(timer) };
}
