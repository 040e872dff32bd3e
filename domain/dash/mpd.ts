import { isoTime, type Millis, type Seconds } from "../time.ts";

/** Segments one after the other that last equally long, in ticks (`S`). */
export interface TimelineEntry {
  start: number;
  duration: number;
  count: number;
}

/** Where a representation's segments are, and when (`SegmentTemplate`). */
export interface SegmentTemplate {
  timescale: number;
  /** What of the media time lies before the period, in ticks. */
  presentationTimeOffset: number;
  media: string;
  initialization: string;
  startNumber: number;
  /** How long before its end a segment can be asked for; null where only when it is whole. */
  availabilityTimeOffset: Seconds | null;
  timeline: TimelineEntry[];
}

/** One quality of a track. */
export interface Representation {
  id: string;
  codecs: string;
  /** Bits per second. */
  bandwidth: number;
  video: { width: number; height: number; frameRate: string | null } | null;
  audio: { sampleRate: number; channels: number } | null;
  template: SegmentTemplate;
}

/** Representations to choose between. */
export interface AdaptationSet {
  id: number;
  contentType: "video" | "audio";
  mimeType: string;
  representations: Representation[];
}

/** A stretch of media on one clock (DA3). */
export interface Period {
  id: string;
  start: Seconds;
  /** Null where it goes on until the next one. */
  duration: Seconds | null;
  adaptationSets: AdaptationSet[];
}

/** What only a live manifest has. */
export interface LiveTimes {
  availabilityStartTime: Millis;
  publishTime: Millis;
  minimumUpdatePeriod: Seconds;
  timeShiftBufferDepth: Seconds;
  suggestedPresentationDelay: Seconds;
  /** How far behind the camera players should be; null where segments are whole when they can be had. */
  latency: { target: Seconds; min: Seconds; max: Seconds } | null;
  /** Address of our clock, relative to the manifest. */
  clock: string;
}

/** A manifest as a value; `encodeMpd` is its last step. */
export interface Mpd {
  /** Null once the broadcast is over (DA5). */
  live: LiveTimes | null;
  /** Of a manifest that is not live. */
  mediaPresentationDuration: Seconds | null;
  minBufferTime: Seconds;
  maxSegmentDuration: Seconds;
  periods: Period[];
}

type Attributes = Record<string, string | number | null>;

/** The text of a manifest, ISO/IEC 23009-1 §5; the order of elements is the schema's. */
export function encodeMpd(mpd: Mpd): string {
  const { live } = mpd;
  const attributes: Attributes = {
    xmlns: "urn:mpeg:dash:schema:mpd:2011",
    profiles: "urn:mpeg:dash:profile:isoff-live:2011",
    type: live === null ? "static" : "dynamic",
    availabilityStartTime: live === null ? null : isoTime(live.availabilityStartTime),
    publishTime: live === null ? null : isoTime(live.publishTime),
    minimumUpdatePeriod: live === null ? null : xmlDuration(live.minimumUpdatePeriod),
    timeShiftBufferDepth: live === null ? null : xmlDuration(live.timeShiftBufferDepth),
    suggestedPresentationDelay: live === null ? null : xmlDuration(live.suggestedPresentationDelay),
    mediaPresentationDuration: mpd.mediaPresentationDuration === null ? null : xmlDuration(mpd.mediaPresentationDuration),
    minBufferTime: xmlDuration(mpd.minBufferTime),
    maxSegmentDuration: xmlDuration(mpd.maxSegmentDuration),
  };
  const children = [...(live?.latency ? [encodeLatency(live.latency)] : []), ...mpd.periods.map(encodePeriod)];
  if (live !== null) children.push(element("UTCTiming", { schemeIdUri: "urn:mpeg:dash:utc:http-iso:2014", value: live.clock }));
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element("MPD", attributes, children)}\n`;
}

function encodeLatency({ target, min, max }: { target: Seconds; min: Seconds; max: Seconds }): string {
  const ms = (seconds: Seconds) => Math.round(seconds * 1000);
  return element("ServiceDescription", { id: 0 }, [
    element("Latency", { target: ms(target), min: ms(min), max: ms(max) }),
    element("PlaybackRate", { min: 0.96, max: 1.1 }),
  ]);
}

function encodePeriod({ id, start, duration, adaptationSets }: Period): string {
  const attributes = { id, start: xmlDuration(start), duration: duration === null ? null : xmlDuration(duration) };
  return element("Period", attributes, adaptationSets.map(encodeAdaptationSet));
}

function encodeAdaptationSet({ id, contentType, mimeType, representations }: AdaptationSet): string {
  const attributes = { id, contentType, mimeType, lang: contentType === "audio" ? "und" : null, segmentAlignment: "true", startWithSAP: 1 };
  return element("AdaptationSet", attributes, representations.map(encodeRepresentation));
}

function encodeRepresentation({ id, codecs, bandwidth, video, audio, template }: Representation): string {
  const attributes: Attributes = {
    id,
    codecs,
    bandwidth: Math.ceil(bandwidth),
    width: video?.width ?? null,
    height: video?.height ?? null,
    frameRate: video?.frameRate ?? null,
    audioSamplingRate: audio?.sampleRate ?? null,
  };
  const children = [encodeTemplate(template)];
  if (audio !== null) {
    const schemeIdUri = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";
    children.unshift(element("AudioChannelConfiguration", { schemeIdUri, value: audio.channels }));
  }
  return element("Representation", attributes, children);
}

function encodeTemplate({ timeline, availabilityTimeOffset, ...template }: SegmentTemplate): string {
  const attributes: Attributes = {
    timescale: template.timescale,
    presentationTimeOffset: template.presentationTimeOffset,
    media: template.media,
    initialization: template.initialization,
    startNumber: template.startNumber,
    availabilityTimeOffset: availabilityTimeOffset === null ? null : Number(availabilityTimeOffset.toFixed(3)),
    availabilityTimeComplete: availabilityTimeOffset === null ? null : "false",
  };
  const entries = timeline.map(({ start, duration, count }, index) => {
    const before = timeline[index - 1];
    // An entry that begins where the one before ends need not say so.
    const follows = before !== undefined && before.start + before.duration * before.count === start;
    return element("S", { t: follows ? null : start, d: duration, r: count > 1 ? count - 1 : null });
  });
  return element("SegmentTemplate", attributes, [element("SegmentTimeline", {}, entries)]);
}

/** An element on lines of its own, its children indented. Attributes that are null are left out. */
function element(name: string, attributes: Attributes, children: string[] = []): string {
  const written = Object.entries(attributes).map(([key, value]) => (value === null ? "" : ` ${key}="${escapeXml(String(value))}"`));
  const open = `<${name}${written.join("")}`;
  if (children.length === 0) return `${open}/>`;
  return `${open}>\n${children.join("\n").replace(/^/gm, "  ")}\n</${name}>`;
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? "");
}

/** `xs:duration` in seconds; never negative, which the schema would allow and players would not. */
function xmlDuration(seconds: Seconds): string {
  return `PT${Number(Math.max(0, seconds).toFixed(6))}S`;
}
