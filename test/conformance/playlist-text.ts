import { type AttributeSchema, parseAttributes } from "./attribute-list.ts";

/** A part as it is listed. */
interface ListedPart {
  uri: string;
  duration: number;
  independent: boolean;
}

/** A segment as it is listed; the tags before it as they stand, not carried over. */
export interface ListedSegment {
  msn: number;
  discontinuity: boolean;
  map: string | null;
  /** Unix ms. */
  programDateTime: number | null;
  gap: boolean;
  parts: ListedPart[];
  /** Null in a segment that is still open. */
  media: { uri: string; duration: number } | null;
}

/** Where another rendition has got. */
export interface ListedReport {
  uri: string;
  lastMsn: number;
  lastPart: number | null;
}

/** A media playlist as its text says it; addresses are absolute. */
export interface PlaylistText {
  version: number;
  targetDuration: number;
  partTarget: number | null;
  /** Attributes of `EXT-X-SERVER-CONTROL`. */
  control: Map<string, string>;
  mediaSequence: number;
  discontinuitySequence: number;
  skipped: number;
  /** Complete segments, then the open one where it has parts. */
  segments: ListedSegment[];
  hints: string[];
  reports: ListedReport[];
  ended: boolean;
}

const SCHEMAS: Record<string, AttributeSchema> = {
  "EXT-X-SERVER-CONTROL": {
    "CAN-BLOCK-RELOAD": "yes!",
    "PART-HOLD-BACK": "decimal",
    "HOLD-BACK": "decimal!",
    "CAN-SKIP-UNTIL": "decimal!",
  },
  "EXT-X-PART-INF": { "PART-TARGET": "decimal!" },
  "EXT-X-SKIP": { "SKIPPED-SEGMENTS": "integer!" },
  "EXT-X-MAP": { URI: "quoted!" },
  "EXT-X-PART": { DURATION: "decimal!", URI: "quoted!", INDEPENDENT: "yes", GAP: "yes" },
  "EXT-X-PRELOAD-HINT": { TYPE: "word!", URI: "quoted!" },
  "EXT-X-RENDITION-REPORT": { URI: "quoted!", "LAST-MSN": "integer!", "LAST-PART": "integer" },
};
const ONCE = ["VERSION", "TARGETDURATION", "SERVER-CONTROL", "PART-INF", "MEDIA-SEQUENCE", "DISCONTINUITY-SEQUENCE", "SKIP", "ENDLIST"];

/** Reads a media playlist the strict way: an unknown tag, a malformed value or a tag in the wrong place throws. */
export function parsePlaylistText(text: string, address: string): PlaylistText {
  const lines = text.split("\n");
  if (lines.pop() !== "" || lines.shift() !== "#EXTM3U") throw new Error("does not begin with #EXTM3U, or the last line has no end");
  const playlist = emptyPlaylist();
  const { segments } = playlist;
  const seen = new Set<string>();
  const absolute = (uri: string | undefined) => new URL(uri ?? "", address).href;
  let duration: number | null = null;
  let open = freshSegment();
  for (const line of lines) {
    if (line !== "" && !line.startsWith("#")) {
      if (duration === null) throw new Error(`"${line}" without #EXTINF`);
      segments.push({ ...open, media: { uri: absolute(line), duration } });
      open = freshSegment();
      duration = null;
      continue;
    }
    const [, tag = "", value] = /^#([A-Z0-9-]+)(?::(.*))?$/.exec(line) ?? [];
    if (playlist.ended) throw new Error("something follows EXT-X-ENDLIST");
    if (seen.has(tag) && ONCE.includes(tag.slice("EXT-X-".length))) throw new Error(`${tag} twice`);
    seen.add(tag);
    const schema = SCHEMAS[tag];
    const attributes = schema === undefined ? new Map<string, string>() : parseAttributes(value ?? "", schema);
    const number = (name: string) => Number(attributes.get(name));
    if (tag === "EXT-X-VERSION") playlist.version = wholeNumber(value);
    else if (tag === "EXT-X-TARGETDURATION") playlist.targetDuration = wholeNumber(value);
    else if (tag === "EXT-X-MEDIA-SEQUENCE") playlist.mediaSequence = wholeNumber(value);
    else if (tag === "EXT-X-DISCONTINUITY-SEQUENCE") playlist.discontinuitySequence = wholeNumber(value);
    else if (tag === "EXT-X-SERVER-CONTROL") playlist.control = attributes;
    else if (tag === "EXT-X-PART-INF") playlist.partTarget = number("PART-TARGET");
    else if (tag === "EXT-X-SKIP") playlist.skipped = number("SKIPPED-SEGMENTS");
    else if (tag === "EXT-X-ENDLIST" && value === undefined) playlist.ended = true;
    else if (tag === "EXT-X-DISCONTINUITY" && value === undefined) open.discontinuity = true;
    else if (tag === "EXT-X-GAP" && value === undefined) open.gap = true;
    else if (tag === "EXT-X-MAP") open.map = absolute(attributes.get("URI"));
    else if (tag === "EXT-X-PROGRAM-DATE-TIME") open.programDateTime = dateTime(value);
    else if (tag === "EXTINF") duration = segmentDuration(value);
    else if (tag === "EXT-X-PART")
      open.parts.push({ uri: absolute(attributes.get("URI")), duration: number("DURATION"), independent: attributes.has("INDEPENDENT") });
    else if (tag === "EXT-X-PRELOAD-HINT" && attributes.get("TYPE") === "PART") playlist.hints.push(absolute(attributes.get("URI")));
    else if (tag === "EXT-X-RENDITION-REPORT")
      playlist.reports.push({
        uri: absolute(attributes.get("URI")),
        lastMsn: number("LAST-MSN"),
        lastPart: attributes.has("LAST-PART") ? number("LAST-PART") : null,
      });
    else throw new Error(`unknown line "${line}"`);
    if (segments.length > 0 && ["EXT-X-SKIP", "EXT-X-MEDIA-SEQUENCE", "EXT-X-PART-INF"].includes(tag))
      throw new Error(`${tag} after a segment`);
  }
  if (duration !== null) throw new Error("#EXTINF without an address");
  for (const tag of ["EXT-X-VERSION", "EXT-X-TARGETDURATION", "EXT-X-SERVER-CONTROL", "EXT-X-MEDIA-SEQUENCE"])
    if (!seen.has(tag)) throw new Error(`${tag} is missing`);
  if (open.parts.length > 0 || open.discontinuity || open.map !== null) segments.push(open);
  segments.forEach((segment, index) => {
    segment.msn = playlist.mediaSequence + playlist.skipped + index;
  });
  return playlist;
}

function emptyPlaylist(): PlaylistText {
  return {
    ...{ version: 0, targetDuration: 0, partTarget: null, control: new Map(), mediaSequence: 0, discontinuitySequence: 0 },
    ...{ skipped: 0, segments: [], hints: [], reports: [], ended: false },
  };
}

function freshSegment(): ListedSegment {
  return { msn: 0, discontinuity: false, map: null, programDateTime: null, gap: false, parts: [], media: null };
}

function wholeNumber(value: string | undefined): number {
  if (value === undefined || !/^\d{1,15}$/.test(value)) throw new Error(`"${value}" is no whole number`);
  return Number(value);
}

function segmentDuration(value: string | undefined): number {
  const [, seconds] = /^(\d+(?:\.\d+)?),.*$/.exec(value ?? "") ?? [];
  if (seconds === undefined) throw new Error(`#EXTINF:${value}`);
  return Number(seconds);
}

function dateTime(value: string | undefined): number {
  if (value === undefined || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value)) throw new Error(`"${value}" is no date and time`);
  return Date.parse(value);
}
