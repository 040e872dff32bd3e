import { fetchBytes } from "./poll.ts";

/** A segment as a media playlist lists it. */
export interface ListedSegment {
  msn: number;
  /** Absolute. */
  url: string;
  seconds: number;
  isGap: boolean;
  /** Those with EXT-X-GAP's own attribute left out; empty where the playlist lists none. */
  parts: { seconds: number }[];
}

/** What a bench needs of a media playlist. */
export interface MediaPlaylist {
  initUrl: string | null;
  /** Of parts; null where there are none. */
  partTarget: number | null;
  /** Whole ones, in order. */
  segments: ListedSegment[];
  /** For how many seconds before its end the playlist lists parts. */
  partsWindow: number;
  /** What the parts behind the last whole segment last. */
  openSeconds: number;
}

/** rfc8216bis §4.4.4.9: parts are listed for three target durations. */
const WINDOW_TARGETS = 3;

/** Null while there is none. */
export async function fetchMediaPlaylist(url: string): Promise<MediaPlaylist | null> {
  const bytes = await fetchBytes(url);
  return bytes === null ? null : parseMediaPlaylist(bytes.toString(), url);
}

function parseMediaPlaylist(text: string, url: string): MediaPlaylist {
  const first = Number(/^#EXT-X-MEDIA-SEQUENCE:(\d+)/m.exec(text)?.[1] ?? 0);
  const partTarget = /^#EXT-X-PART-INF:PART-TARGET=([\d.]+)/m.exec(text)?.[1];
  const init = [...text.matchAll(/^#EXT-X-MAP:URI="([^"]+)"/gm)].at(-1)?.[1];
  const segments: ListedSegment[] = [];
  let seconds = 0;
  let isGap = false;
  let parts: { seconds: number }[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("#EXTINF:")) seconds = Number.parseFloat(line.slice(8));
    else if (line === "#EXT-X-GAP") isGap = true;
    else if (line.startsWith("#EXT-X-PART:") && !line.includes("GAP=YES")) {
      parts.push({ seconds: Number(/DURATION=([\d.]+)/.exec(line)?.[1] ?? 0) });
    } else if (line !== "" && !line.startsWith("#")) {
      segments.push({ msn: first + segments.length, url: new URL(line, url).href, seconds, isGap, parts });
      isGap = false;
      parts = [];
    }
  }
  return {
    initUrl: init === undefined ? null : new URL(init, url).href,
    partTarget: partTarget === undefined ? null : Number(partTarget),
    segments,
    partsWindow: WINDOW_TARGETS * Number(/^#EXT-X-TARGETDURATION:(\d+)/m.exec(text)?.[1] ?? 0),
    openSeconds: parts.reduce((sum, part) => sum + part.seconds, 0),
  };
}
