import { encodeBox } from "./boxes.ts";

/** The one track of a `moov`. */
export interface MoovTrack {
  kind: "video" | "audio";
  timescale: number;
  /** Pixels as they are shown, their aspect counted in; 0 for audio. */
  width: number;
  height: number;
  /** The sample entry, with the decoder's configuration in it. */
  sampleEntry: Buffer;
}

/** Number of the track in every init segment that is made here. */
export const TRACK_ID = 1;

const UNITY_MATRIX = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000];
const UNDETERMINED_LANGUAGE = 0x55c4;
const HANDLERS = { video: ["vide", "VideoHandler"], audio: ["soun", "SoundHandler"] } as const;

/** A `moov` of one fragmented track: no samples of its own, durations unknown (CM1). */
export function encodeMoov(track: MoovTrack): Buffer {
  return encodeBox(
    "moov",
    encodeBox("mvhd", u32(0, 0, 0, track.timescale, 0, 0x10000), u16(0x100, 0), u32(0, 0, ...UNITY_MATRIX, 0, 0, 0, 0, 0, 0, TRACK_ID + 1)),
    encodeBox("trak", encodeTkhd(track), encodeMdia(track)),
    encodeBox("mvex", encodeBox("trex", u32(0, TRACK_ID, 1, 0, 0, 0))),
  );
}

function encodeTkhd({ kind, width, height }: MoovTrack): Buffer {
  const enabledInMovie = 3;
  const volume = kind === "audio" ? 0x100 : 0;
  const alternateGroup = kind === "audio" ? 1 : 0;
  return encodeBox(
    "tkhd",
    u32(enabledInMovie, 0, 0, TRACK_ID, 0, 0, 0, 0),
    u16(0, alternateGroup, volume, 0),
    u32(...UNITY_MATRIX, Math.round(width * 0x10000), Math.round(height * 0x10000)),
  );
}

function encodeMdia({ kind, timescale, sampleEntry }: MoovTrack): Buffer {
  const [handler, name] = HANDLERS[kind];
  const mediaHeader = kind === "video" ? encodeBox("vmhd", u32(1, 0, 0)) : encodeBox("smhd", u32(0, 0));
  return encodeBox(
    "mdia",
    encodeBox("mdhd", u32(0, 0, 0, timescale, 0), u16(UNDETERMINED_LANGUAGE, 0)),
    encodeBox("hdlr", u32(0, 0), Buffer.from(handler, "latin1"), u32(0, 0, 0), Buffer.from(`${name}\0`, "latin1")),
    encodeBox(
      "minf",
      mediaHeader,
      encodeBox("dinf", encodeBox("dref", u32(0, 1), encodeBox("url ", u32(1)))),
      encodeBox(
        "stbl",
        encodeBox("stsd", u32(0, 1), sampleEntry),
        encodeBox("stts", u32(0, 0)),
        encodeBox("stsc", u32(0, 0)),
        encodeBox("stsz", u32(0, 0, 0)),
        encodeBox("stco", u32(0, 0)),
      ),
    ),
  );
}

/** Numbers of 32 bits, big-endian. */
export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
}

/** Numbers of 16 bits, big-endian. */
export function u16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}
