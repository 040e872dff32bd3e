import { NovaError } from "../../domain/errors.ts";
import { type BroadcastFacts, composeMediaPlaylist, composeMultivariantPlaylist } from "../../domain/hls/live-playlists.ts";
import { countSkippable, encodeMediaPlaylist } from "../../domain/hls/media-playlist.ts";
import { encodeMultivariantPlaylist } from "../../domain/hls/multivariant-playlist.ts";
import type { Segment } from "../../domain/timeline/segment.ts";
import type { MediaWindow } from "./media-window.ts";

/** The text of a rendition's playlist, as a delta update where that is wanted and possible (PL11). Throws 404 `rendition_not_found` or `not_started`. */
export function renderMediaPlaylist(media: MediaWindow, rendition: string, facts: BroadcastFacts, delta: boolean): string {
  assertPlayable(media, rendition);
  const { timeline } = media;
  const [fromMsn, tailMsn] = olderRange(media, rendition);
  if (delta && !facts.ended) {
    // Of what a delta leaves out only the number counts: the archive is not read.
    const playlist = composeMediaPlaylist(timeline, rendition, facts, { segments: [], omitted: tailMsn - fromMsn });
    const skippable = countSkippable(playlist);
    if (skippable > 0) return encodeMediaPlaylist(playlist, skippable);
  }
  const segments = media.archive.read(rendition, fromMsn, tailMsn);
  return encodeMediaPlaylist(composeMediaPlaylist(timeline, rendition, facts, { segments, omitted: 0 }));
}

/** The text of the multivariant playlist; `prefix` leads from its address to the media playlists. Throws 404 `not_started` until every rendition has a segment. */
export function renderMultivariantPlaylist(media: MediaWindow, facts: BroadcastFacts, prefix: string): string {
  const { timeline } = media;
  if (facts.tracks.some((track) => timeline.listed(track.name).length === 0)) throw notStarted();
  const listed = (rendition: string) => timeline.listed(rendition);
  return encodeMultivariantPlaylist(composeMultivariantPlaylist(facts, { prefix, file: "index.m3u8" }, listed, timeline.independent));
}

/** A rendition's whole window. */
export function listedSegments(media: MediaWindow, rendition: string): Segment[] {
  const [fromMsn, tailMsn] = olderRange(media, rendition);
  return [...media.archive.read(rendition, fromMsn, tailMsn), ...media.timeline.listed(rendition)];
}

/** Throws 404 `rendition_not_found`, or `not_started` where there is nothing of it yet. */
export function assertPlayable(media: MediaWindow, rendition: string): void {
  if (!Object.hasOwn(media.tracks.partTargets, rendition)) {
    throw new NovaError(404, "rendition_not_found", "this broadcast has no such rendition: see its multivariant playlist");
  }
  if (media.timeline.listed(rendition).length === 0) throw notStarted();
}

/** The refusal of a playlist that has nothing to list yet. */
export function notStarted(): NovaError {
  return new NovaError(404, "not_started", "nothing to play yet: the stream has not started, or starts in a moment");
}

/** The archive's part of a rendition's window: from a number up to, and without, the tail's first. */
function olderRange({ archive, timeline }: MediaWindow, rendition: string): [number, number] {
  const tailMsn = timeline.firstMsn;
  return [Math.min(tailMsn, Math.max(archive.firstMsn, timeline.startOf(rendition) ?? tailMsn)), tailMsn];
}
