import { isoTime, type Millis, type Seconds, totalDuration } from "../time.ts";
import { encodeAttributes } from "./attributes.ts";

/** A part's line. */
export interface MediaPart {
  uri: string;
  duration: Seconds;
  independent: boolean;
}

/** What stands before a segment, or before the parts of one that is still open. */
export interface SegmentHead {
  /** `EXT-X-DISCONTINUITY` (PL7). */
  discontinuity: boolean;
  /** `EXT-X-MAP`: the URI of the init segment. */
  map: string | null;
  /** `EXT-X-PROGRAM-DATE-TIME` (PL6). */
  programDateTime: Millis | null;
  /** Listed near the live edge only (PL8). */
  parts: MediaPart[];
}

/** A segment's lines in a media playlist. */
export interface MediaSegment extends SegmentHead {
  uri: string;
  duration: Seconds;
  /** `EXT-X-GAP`: its bytes are lost (PL12). */
  gap: boolean;
}

/** `EXT-X-SERVER-CONTROL`: the same in every rendition (PL2). `partHoldBack` is null where there are no parts. */
export interface ServerControl {
  holdBack: Seconds;
  partHoldBack: Seconds | null;
  canSkipUntil: Seconds;
}

/** `EXT-X-RENDITION-REPORT` (PL10). `lastPart` is null where there are no parts. */
export interface RenditionReport {
  uri: string;
  lastMsn: number;
  lastPart: number | null;
}

/** A media playlist as a value; `encodeMediaPlaylist` is its last step. */
export interface MediaPlaylist {
  targetDuration: number;
  /** `PART-TARGET`; null where there are no parts. */
  partTarget: Seconds | null;
  /** Null in a recording. */
  serverControl: ServerControl | null;
  mediaSequence: number;
  /** How many segments from `mediaSequence` on are listed, but not in `segments`: a delta update needs no more than their number. */
  omitted: number;
  discontinuitySequence: number;
  segments: MediaSegment[];
  /** Parts of the segment after the last. */
  open: SegmentHead | null;
  /** `EXT-X-PRELOAD-HINT` (PL9); null once the broadcast is over. */
  preloadHint: string | null;
  renditionReports: RenditionReport[];
  /** The broadcast is over (PL13). */
  ended: boolean;
}

/** The text of a media playlist, rfc8216bis §4.4.3. The first `skipped` of its segments, and the omitted ones, are left out as a delta update (PL11). */
export function encodeMediaPlaylist(playlist: MediaPlaylist, skipped = 0): string {
  const { serverControl } = playlist;
  const lines = [
    "#EXTM3U",
    // EXT-X-GAP asks for 8, EXT-X-SKIP for 9, rfc8216bis §8.
    `#EXT-X-VERSION:${skipped > 0 ? 9 : 8}`,
    `#EXT-X-TARGETDURATION:${playlist.targetDuration}`,
  ];
  if (serverControl === null) lines.push("#EXT-X-PLAYLIST-TYPE:VOD");
  else lines.push(encodeServerControl(serverControl));
  if (playlist.partTarget !== null) lines.push(`#EXT-X-PART-INF:PART-TARGET=${playlist.partTarget.toFixed(5)}`);
  lines.push(`#EXT-X-MEDIA-SEQUENCE:${playlist.mediaSequence}`, `#EXT-X-DISCONTINUITY-SEQUENCE:${playlist.discontinuitySequence}`);
  if (skipped > 0) lines.push(`#EXT-X-SKIP:SKIPPED-SEGMENTS=${playlist.omitted + skipped}`);
  for (const segment of playlist.segments.slice(skipped)) {
    pushHead(lines, segment);
    if (segment.gap) lines.push("#EXT-X-GAP");
    lines.push(`#EXTINF:${segment.duration.toFixed(5)},`, segment.uri);
  }
  if (playlist.open !== null) pushHead(lines, playlist.open);
  if (playlist.preloadHint !== null)
    lines.push(`#EXT-X-PRELOAD-HINT:${encodeAttributes({ TYPE: "PART", URI: { quoted: playlist.preloadHint } })}`);
  for (const { uri, lastMsn, lastPart } of playlist.renditionReports) {
    const report = { URI: { quoted: uri }, "LAST-MSN": lastMsn, "LAST-PART": lastPart ?? undefined };
    lines.push(`#EXT-X-RENDITION-REPORT:${encodeAttributes(report)}`);
  }
  if (playlist.ended) lines.push("#EXT-X-ENDLIST");
  return `${lines.join("\n")}\n`;
}

function encodeServerControl(control: ServerControl): string {
  const attributes = {
    "CAN-BLOCK-RELOAD": "YES",
    "PART-HOLD-BACK": control.partHoldBack?.toFixed(3),
    "HOLD-BACK": control.holdBack.toFixed(3),
    "CAN-SKIP-UNTIL": control.canSkipUntil.toFixed(3),
  };
  return `#EXT-X-SERVER-CONTROL:${encodeAttributes(attributes)}`;
}

/** How many of a playlist's segments a delta update may leave out: those that end before the skip boundary. */
export function countSkippable(playlist: MediaPlaylist): number {
  if (playlist.serverControl === null) return 0;
  let fromEnd = totalDuration(playlist.open?.parts ?? []);
  for (let index = playlist.segments.length - 1; index >= 0; index--) {
    if (fromEnd >= playlist.serverControl.canSkipUntil) return index + 1;
    fromEnd += playlist.segments[index]?.duration ?? 0;
  }
  return 0;
}

function pushHead(lines: string[], head: SegmentHead): void {
  if (head.discontinuity) lines.push("#EXT-X-DISCONTINUITY");
  if (head.map !== null) lines.push(`#EXT-X-MAP:${encodeAttributes({ URI: { quoted: head.map } })}`);
  if (head.programDateTime !== null) lines.push(`#EXT-X-PROGRAM-DATE-TIME:${isoTime(head.programDateTime)}`);
  for (const part of head.parts) {
    const attributes = { DURATION: part.duration.toFixed(5), URI: { quoted: part.uri }, INDEPENDENT: part.independent ? "YES" : undefined };
    lines.push(`#EXT-X-PART:${encodeAttributes(attributes)}`);
  }
}
