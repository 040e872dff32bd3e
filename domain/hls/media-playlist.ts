import { isoTime, type Millis, type Seconds } from "../time.ts";
import { encodeAttributes } from "./attributes.ts";

/** A segment's lines in a media playlist. */
export interface MediaSegment {
  uri: string;
  duration: Seconds;
  /** `EXT-X-DISCONTINUITY` stands before it (PL7). */
  discontinuity: boolean;
  /** `EXT-X-MAP` stands before it: the URI of its init segment. */
  map: string | null;
  /** `EXT-X-PROGRAM-DATE-TIME` stands before it (PL6). */
  programDateTime: Millis | null;
  /** `EXT-X-GAP`: its bytes are lost (PL12). */
  gap: boolean;
}

/** A media playlist as a value; `encodeMediaPlaylist` is its last step. */
export interface MediaPlaylist {
  targetDuration: number;
  mediaSequence: number;
  discontinuitySequence: number;
  segments: MediaSegment[];
  /** The broadcast is over (PL13). */
  ended: boolean;
}

/** The text of a media playlist, rfc8216bis §4.4.3. */
export function encodeMediaPlaylist(playlist: MediaPlaylist): string {
  const lines = [
    "#EXTM3U",
    // EXT-X-GAP asks for 8, rfc8216bis §8.
    "#EXT-X-VERSION:8",
    `#EXT-X-TARGETDURATION:${playlist.targetDuration}`,
    `#EXT-X-MEDIA-SEQUENCE:${playlist.mediaSequence}`,
    `#EXT-X-DISCONTINUITY-SEQUENCE:${playlist.discontinuitySequence}`,
  ];
  for (const segment of playlist.segments) {
    if (segment.discontinuity) lines.push("#EXT-X-DISCONTINUITY");
    if (segment.map !== null) lines.push(`#EXT-X-MAP:${encodeAttributes({ URI: { quoted: segment.map } })}`);
    if (segment.programDateTime !== null) lines.push(`#EXT-X-PROGRAM-DATE-TIME:${isoTime(segment.programDateTime)}`);
    if (segment.gap) lines.push("#EXT-X-GAP");
    lines.push(`#EXTINF:${segment.duration.toFixed(5)},`, segment.uri);
  }
  if (playlist.ended) lines.push("#EXT-X-ENDLIST");
  return `${lines.join("\n")}\n`;
}
