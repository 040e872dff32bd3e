import type { Broadcast } from "../../domain/broadcast/broadcast.ts";
import { mediaPath, segmentFile } from "../../domain/media-address.ts";
import type { Millis } from "../../domain/time.ts";
import { isDue } from "./alarm-clock.ts";
import type { MediaWindow } from "./media-window.ts";
import type { MediaWindows } from "./media-windows.ts";
import { RetriedTask } from "./retried-task.ts";
import type { LiveStreamStorage } from "./storage.ts";

/** A broadcast that has ended plays out for its window, and at least this long. */
const PLAY_OUT_MS: Millis = 60_000;
/** Most keys in one delete, and in one list: a limit of R2. */
const BATCH = 1000;

/**
 * Deletes from R2 what nobody may play any more: segments that left the window of a stream without recording, all media of such a
 * broadcast when it has played out, and everything of a deleted stream. Forgets broadcasts that have played out.
 */
export function createSweeper(
  windows: MediaWindows,
  lifecycle: Broadcast,
  storage: LiveStreamStorage,
  bucket: R2Bucket,
  streamId: () => string,
): RetriedTask {
  const purgeAt = () => (lifecycle.deleted ? storage.load("purgeAt") : null);
  return new RetriedTask("sweep", {
    dueAt: () => {
      const times = [purgeAt(), ...windows.all.flatMap((media) => [sweepDueAt(media), retireDueAt(media)])];
      const due = times.filter((at) => at !== null);
      return due.length === 0 ? null : Math.min(...due);
    },
    run: async (now) => {
      for (const media of windows.all) {
        if (isDue(sweepDueAt(media), now)) await sweep(bucket, streamId(), media, now);
        if (!isDue(retireDueAt(media), now)) continue;
        if (!media.tracks.record) await deletePrefix(bucket, `${streamId()}/${media.broadcast}/`);
        windows.remove(media.broadcast);
      }
      if (!isDue(purgeAt(), now)) return;
      await deletePrefix(bucket, `${streamId()}/`);
      for (const media of windows.all) windows.remove(media.broadcast);
      storage.save("purgeAt", null);
    },
  });
}

/** When a deleted stream's media goes: viewers see its end first. */
export function purgeTime(now: Millis): Millis {
  return now + PLAY_OUT_MS;
}

/** When what left the window may go: a playlist from before, and what it lists, is good for as long as the window lasts (rfc8216bis §6.2.2). */
function sweepDueAt({ storage, tracks }: MediaWindow): Millis | null {
  const oldest = storage.load("sweep")?.left[0];
  return oldest === undefined ? null : oldest.at + Math.max(tracks.dvrWindowSeconds * 1000, PLAY_OUT_MS);
}

/** When a broadcast is over for viewers too; null while it goes on, or while its recording is not written. */
function retireDueAt({ storage, tracks }: MediaWindow): Millis | null {
  const endedAt = storage.load("endedAt");
  if (endedAt === null || (tracks.record && storage.load("recorded") === null)) return null;
  return endedAt + Math.max(tracks.dvrWindowSeconds * 1000, PLAY_OUT_MS);
}

async function sweep(bucket: R2Bucket, streamId: string, media: MediaWindow, now: Millis): Promise<void> {
  const { storage, broadcast, timeline, renditions } = media;
  for (let due = sweepDueAt(media); isDue(due, now); due = sweepDueAt(media)) {
    const { swept, left } = storage.load("sweep") ?? { swept: 1, left: [] };
    const until = left[0]?.msn ?? swept;
    const keys: string[] = [];
    for (let msn = swept; msn < until; msn++) {
      const epoch = timeline.epochAt(msn)?.epoch;
      if (epoch === undefined) continue;
      for (const rendition of renditions) keys.push(mediaPath(streamId, broadcast, rendition, segmentFile(epoch, msn)));
    }
    for (let start = 0; start < keys.length; start += BATCH) await bucket.delete(keys.slice(start, start + BATCH));
    // The list may have grown meanwhile.
    storage.save("sweep", { swept: until, left: (storage.load("sweep")?.left ?? []).slice(1) });
  }
}

async function deletePrefix(bucket: R2Bucket, prefix: string): Promise<void> {
  for (;;) {
    const { objects, truncated } = await bucket.list({ prefix, limit: BATCH });
    if (objects.length > 0) await bucket.delete(objects.map((object) => object.key));
    if (!truncated) return;
  }
}
