import { composeMpd, type DashWindow } from "../../domain/dash/live-mpd.ts";
import { encodeMpd } from "../../domain/dash/mpd.ts";
import type { BroadcastFacts } from "../../domain/hls/live-playlists.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import type { MediaWindow } from "./media-window.ts";
import { listedSegments, notStarted } from "./playlists.ts";

/** The text of the DASH manifest; `depth` counts the folders between it and the stream's own. Throws 404 `not_started` until every track has a segment. */
export function renderManifest(media: MediaWindow, facts: BroadcastFacts, depth: 0 | 1): string {
  if (facts.tracks.some((track) => media.timeline.listed(track.name).length === 0)) throw notStarted();
  return render(media, facts, depth, (rendition) => listedSegments(media, rendition));
}

/** The text of a recording's manifest. */
export function renderRecordedManifest(
  media: MediaWindow,
  facts: BroadcastFacts,
  depth: 0 | 1,
  whole: (rendition: string) => Segment[],
): string {
  return render(media, facts, depth, whole);
}

function render(media: MediaWindow, facts: BroadcastFacts, depth: 0 | 1, listed: (rendition: string) => Segment[]): string {
  const { tracksOfEpochs, dvrWindowSeconds, partTargets, targetDuration } = media.tracks;
  const window: DashWindow = {
    streamId: facts.streamId,
    broadcast: facts.broadcast,
    ended: facts.ended,
    targetDuration,
    dvrWindowSeconds,
    partTarget: facts.parts ? Math.max(...Object.values(partTargets)) : null,
    connected: facts.nextEpoch === null,
    epochs: media.timeline.epochs,
    tracksOfEpochs,
    segments: Object.fromEntries(media.renditions.map((rendition) => [rendition, listed(rendition)])),
    root: "../".repeat(2 + depth),
  };
  const mpd = composeMpd(window);
  // Nothing whose times are known: a manifest without a period would not be valid.
  if (mpd.periods.length === 0) throw notStarted();
  return encodeMpd(mpd);
}
