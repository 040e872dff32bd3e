import { healthOf } from "../../domain/broadcast/health.ts";
import type { SharedEvent } from "../../domain/protocol/events.ts";
import type { Heartbeat } from "../../domain/protocol/origin-link.ts";
import type { Millis } from "../../domain/time.ts";

/** How often viewers are told; a little less than 5 s, as heartbeats come each second, more or less. */
const UPDATE_INTERVAL_MS: Millis = 4_750;

type BitrateUpdate = Extract<SharedEvent, { event: "bitrate_update" }>["data"];

/** What the heartbeats of a live broadcast mean for its viewers. In memory only: after an eviction the next heartbeat begins anew. */
export class Pulse {
  #last: { epoch: number; toldAt: Millis; heartbeat: Heartbeat } | null = null;

  /** Takes a heartbeat. Returns what viewers are to be told now; null where nothing is due. */
  observe(epoch: number, heartbeat: Heartbeat, hasVideo: boolean, now: Millis): BitrateUpdate | null {
    const before = this.#last?.epoch === epoch ? this.#last : null;
    const since = before === null ? UPDATE_INTERVAL_MS : now - before.toldAt;
    if (before !== null && since >= 0 && since < UPDATE_INTERVAL_MS) return null;
    this.#last = { epoch, toldAt: now, heartbeat };
    const { bitrate_kbps, fps, dropped_frames } = heartbeat;
    const seconds = before === null ? 1 : Math.max(1, since / 1000);
    const { health, reasons } = healthOf(heartbeat, { before: before?.heartbeat ?? null, seconds, hasVideo });
    return {
      bitrate_kbps: Math.round(bitrate_kbps),
      fps: Math.round(fps * 100) / 100,
      dropped_frames,
      health,
      health_reasons: reasons,
    };
  }
}
