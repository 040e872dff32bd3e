/** Path of a media object below `/media/`, and its key in R2: immutable, for an epoch's bytes are never another's. */
export function mediaPath(streamId: string, broadcast: number, rendition: string, file: string): string {
  return `${streamId}/${broadcast}/${rendition}/${file}`;
}

/** File name of an epoch's init segment. */
export function initFile(epoch: number): string {
  return `init-${epoch}.mp4`;
}

/** File name of a segment. The epoch is part of it, so that a fenced origin's late bytes can never stand under it. */
export function segmentFile(epoch: number, msn: number): string {
  return `${epoch}-${msn}.m4s`;
}

/** File name of a part. */
export function partFile(epoch: number, msn: number, part: number): string {
  return `${epoch}-${msn}.${part}.m4s`;
}

/** Key in R2 of a recorded rendition's playlist. */
export function recordingKey(streamId: string, broadcast: number, rendition: string): string {
  return mediaPath(streamId, broadcast, rendition, "recording.m3u8");
}

/** Key in R2 of a recording's entries. `place` is `{stream}/{broadcast}`, or `{stream}` for the recording that the stream's own address shows. */
export function entryKey(place: string, file: "index.m3u8" | "manifest.mpd"): string {
  return `${place}/${file}`;
}
