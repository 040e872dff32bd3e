/** A duration in seconds, with fractions: the unit of playlists. */
export type Seconds = number;

/** A duration or a Unix time in whole milliseconds: the unit of clocks. */
export type Millis = number;

/** ISO 8601 with milliseconds in UTC, as `EXT-X-PROGRAM-DATE-TIME` and the API print a time. */
export function isoTime(at: Millis): string {
  return new Date(at).toISOString();
}
