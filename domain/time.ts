/** A duration in seconds, with fractions: the unit of playlists. */
export type Seconds = number;

/** A duration or a Unix time in whole milliseconds: the unit of clocks. */
export type Millis = number;

/** ISO 8601 with milliseconds in UTC, as `EXT-X-PROGRAM-DATE-TIME` and the API print a time. */
export function isoTime(at: Millis): string {
  return new Date(at).toISOString();
}

/** The same, where the time may not have come. */
export function isoTimeOrNull(at: Millis | null): string | null {
  return at === null ? null : isoTime(at);
}

/** How long things last that follow one another. */
export function totalDuration(items: readonly { duration: Seconds }[]): Seconds {
  return items.reduce((sum, item) => sum + item.duration, 0);
}
