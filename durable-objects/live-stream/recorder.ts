import type { Broadcast } from "../../domain/broadcast/broadcast.ts";
import type { BroadcastFacts } from "../../domain/hls/live-playlists.ts";
import { composeMultivariantPlaylist, composeRecordingPlaylist } from "../../domain/hls/live-playlists.ts";
import { encodeMediaPlaylist } from "../../domain/hls/media-playlist.ts";
import { encodeMultivariantPlaylist } from "../../domain/hls/multivariant-playlist.ts";
import { entryKey, recordingKey } from "../../domain/media-address.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import { renderRecordedManifest } from "./manifest.ts";
import type { MediaWindow } from "./media-window.ts";
import type { MediaWindows } from "./media-windows.ts";
import { RetriedTask } from "./retried-task.ts";
import type { LiveStreamStorage } from "./storage.ts";

/**
 * Makes recordings: when a broadcast with `record` has ended, its playlists and manifest go to R2 beside its media, so that they play
 * without the object. The latest is also shown at the stream's own address, until a new broadcast is live there.
 */
export function createRecorder(
  windows: MediaWindows,
  lifecycle: Broadcast,
  storage: LiveStreamStorage,
  bucket: R2Bucket,
  streamId: () => string,
): RetriedTask {
  const unrecorded = () =>
    windows.all.filter((media) => media.tracks.record && hasSettled(media) && media.storage.load("recorded") === null);
  const shown = () => storage.load("shownRecording");
  /** Which recording belongs at the stream's own address; undefined where that cannot be said yet. */
  const toShow = () => {
    const { status, number, deleted } = lifecycle;
    if (deleted || status === "active" || status === "reconnecting") return null;
    const latest = windows.get(number);
    if (latest === null) return shown();
    return latest.tracks.record && latest.storage.load("recorded") !== null ? number : null;
  };
  return new RetriedTask("record", {
    dueAt: () => (unrecorded().length > 0 || shown() !== toShow() ? 0 : null),
    run: async () => {
      for (const media of unrecorded()) {
        await writeRecording(bucket, streamId(), media);
        media.storage.save("recorded", true);
      }
      for (let wanted = toShow(); wanted !== shown(); wanted = toShow()) {
        await show(bucket, streamId(), wanted === null ? null : windows.get(wanted));
        storage.save("shownRecording", wanted);
      }
    },
  });
}

function hasSettled(media: MediaWindow): boolean {
  return media.storage.load("endedAt") !== null && !media.hasRemnants;
}

async function writeRecording(bucket: R2Bucket, streamId: string, media: MediaWindow): Promise<void> {
  const { broadcast, timeline } = media;
  for (const rendition of media.renditions) {
    const playlist = composeRecordingPlaylist(timeline, rendition, factsOf(media, streamId), wholeOf(media, rendition));
    await bucket.put(recordingKey(streamId, broadcast, rendition), encodeMediaPlaylist(playlist));
  }
  await writeEntries(bucket, media, streamId, `${streamId}/${broadcast}`, "");
}

/** Shows a recording at the stream's own address, one level above the recording's; null shows none. */
async function show(bucket: R2Bucket, streamId: string, media: MediaWindow | null): Promise<void> {
  if (media === null) await bucket.delete([entryKey(streamId, "index.m3u8"), entryKey(streamId, "manifest.mpd")]);
  else await writeEntries(bucket, media, streamId, streamId, `${media.broadcast}/`);
}

/** The multivariant playlist and the manifest; `prefix` leads from where they are to the broadcast. */
async function writeEntries(bucket: R2Bucket, media: MediaWindow, streamId: string, place: string, prefix: string): Promise<void> {
  const facts = factsOf(media, streamId);
  const whole = (rendition: string) => wholeOf(media, rendition);
  const multivariant = composeMultivariantPlaylist(facts, { prefix, file: "recording.m3u8" }, whole, media.timeline.independent);
  await bucket.put(entryKey(place, "manifest.mpd"), renderRecordedManifest(media, facts, prefix === "" ? 1 : 0, whole));
  await bucket.put(entryKey(place, "index.m3u8"), encodeMultivariantPlaylist(multivariant));
}

function factsOf({ tracks, offered, broadcast }: MediaWindow, streamId: string): BroadcastFacts {
  return { ...tracks, tracks: offered, streamId, broadcast, ended: true, nextEpoch: null };
}

/** Every segment of a rendition, from the broadcast's first. */
function wholeOf({ archive, timeline }: MediaWindow, rendition: string): Segment[] {
  return [...archive.read(rendition, 1, timeline.firstMsn), ...timeline.listed(rendition)];
}
