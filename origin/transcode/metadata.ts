import type { EncoderMetadata } from "../package/packager.ts";
import { type Amf0Value, parseAmf0 } from "./amf0.ts";

/** `onMetaData`, with what it says about which tracks will come. */
export interface FlvMetadata extends EncoderMetadata {
  announcesVideo: boolean;
  announcesAudio: boolean;
}

/** Reads a script tag's body; null where it is not `onMetaData`. Figures out of any sane range count as not said. */
export function parseMetadata(body: Buffer): FlvMetadata | null {
  const values = parseAmf0(body);
  const fields = values.find((value) => value instanceof Map);
  if (!values.includes("onMetaData") || fields === undefined) return null;
  const number = (name: string, most: number): number | null => {
    const value: Amf0Value | undefined = fields.get(name);
    return typeof value === "number" && value > 0 && value <= most ? value : null;
  };
  const bitrate = (name: string): number | null => {
    const kilobits = number(name, 1_000_000);
    return kilobits === null ? null : Math.round(kilobits * 1000);
  };
  return {
    width: number("width", 16384),
    height: number("height", 16384),
    frameRate: number("framerate", 1000),
    videoBitrate: bitrate("videodatarate"),
    audioBitrate: bitrate("audiodatarate"),
    announcesVideo: fields.has("videocodecid") || fields.has("videodatarate"),
    announcesAudio: fields.has("audiocodecid") || fields.has("audiodatarate"),
  };
}
