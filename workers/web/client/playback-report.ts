/** What a player does. */
export interface PlaybackReport {
  /** The rendition's name, at most 16 characters. */
  rendition: string;
  bufferedMs: number;
  /** Behind live; null where nothing is live, or it is not known. */
  latencyMs: number | null;
  /** Since the page was opened. */
  stalls: number;
  /** Changes of the rendition since the page was opened. */
  switches: number;
}
