import { BitReader } from "./bit-reader.ts";
import { OBU, ObuCursor } from "./obu.ts";
import type { VideoFacts } from "./video-config.ts";
import { type Colour, computeFrameRate } from "./vui.ts";

/** Reads an AV1CodecConfigurationRecord (AV1-ISOBMFF §2.3.3). Throws where it has no sequence header to tell the size of the pictures. */
export function parseAv1Record(record: Buffer): VideoFacts {
  if (record.length < 4 || record[0] !== 0x81) throw new Error("it is no AV1 codec configuration record");
  const units = record.subarray(4);
  const cursor = new ObuCursor(units);
  while (cursor.next()) {
    if (cursor.type !== OBU.sequenceHeader) continue;
    const header = parseSequenceHeader(units.subarray(cursor.body, cursor.end));
    const { width, height, frameRate, colour } = header;
    return { name: nameOf(header), lengthSize: 0, record, width, height, frameRate, colour, pixelAspect: null };
  }
  throw new Error("it has no sequence header");
}

interface SequenceHeader {
  profile: number;
  level: number;
  highTier: boolean;
  bitDepth: number;
  monochrome: boolean;
  /** Subsampling in x, in y, and where the chroma sample lies, as digits. */
  chroma: string;
  width: number;
  height: number;
  frameRate: number | null;
  colour: Colour;
  /** Whether the header itself names its colours. */
  describesColour: boolean;
}

/** AV1-ISOBMFF §5. The fields that may be left out are, where the header has nothing to say in them. */
function nameOf(header: SequenceHeader): string {
  const { colour } = header;
  const name = `av01.${header.profile}.${twoDigits(header.level)}${header.highTier ? "H" : "M"}.${twoDigits(header.bitDepth)}`;
  const isUsual = !header.monochrome && header.chroma === "110" && !colour.fullRange;
  if (isUsual && !header.describesColour) return name;
  const codes = [colour.primaries, colour.transfer, colour.matrix].map(twoDigits).join(".");
  return `${name}.${header.monochrome ? 1 : 0}.${header.chroma}.${codes}.${colour.fullRange ? 1 : 0}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}

/** AV1 §5.5.1. */
function parseSequenceHeader(bytes: Uint8Array): SequenceHeader {
  const reader = new BitReader(bytes, "its sequence header");
  const profile = reader.u(3);
  if (profile > 2) throw new Error(`its sequence header has profile ${profile}`);
  reader.skip(1);
  const reduced = reader.flag();
  const { level, highTier, frameRate } = reduced ? { level: reader.u(5), highTier: false, frameRate: null } : readOperatingPoints(reader);
  const widthBits = reader.u(4) + 1;
  const heightBits = reader.u(4) + 1;
  const width = reader.u(widthBits) + 1;
  const height = reader.u(heightBits) + 1;
  if (!reduced && reader.flag()) reader.skip(7);
  reader.skip(3);
  if (!reduced) skipInterTools(reader);
  reader.skip(3);
  return { profile, level, highTier, width, height, frameRate, ...readColour(reader, profile) };
}

/** Level and tier of the first operating point, which is the whole stream. */
function readOperatingPoints(reader: BitReader): Pick<SequenceHeader, "level" | "highTier" | "frameRate"> {
  let frameRate: number | null = null;
  let delayBits: number | null = null;
  if (reader.flag()) {
    const unitsInTick = reader.u(32);
    const timeScale = reader.u(32);
    if (reader.flag()) frameRate = computeFrameRate(timeScale, unitsInTick * (reader.ue() + 1));
    if (reader.flag()) {
      delayBits = reader.u(5) + 1;
      reader.skip(42);
    }
  }
  const hasDisplayDelay = reader.flag();
  const points = reader.u(5) + 1;
  let first: { level: number; highTier: boolean } | null = null;
  for (let point = 0; point < points; point++) {
    reader.skip(12);
    const level = reader.u(5);
    const highTier = level > 7 && reader.flag();
    first ??= { level, highTier };
    if (delayBits !== null && reader.flag()) reader.skip(2 * delayBits + 1);
    if (hasDisplayDelay && reader.flag()) reader.skip(4);
  }
  return { level: first?.level ?? 0, highTier: first?.highTier ?? false, frameRate };
}

function skipInterTools(reader: BitReader): void {
  reader.skip(4);
  const ordersFrames = reader.flag();
  if (ordersFrames) reader.skip(2);
  // Chosen frame by frame where the first flag says so; else told here.
  const screenContent = reader.flag() || reader.flag();
  if (screenContent && !reader.flag()) reader.skip(1);
  if (ordersFrames) reader.skip(3);
}

/** AV1 §5.5.2. */
function readColour(
  reader: BitReader,
  profile: number,
): Pick<SequenceHeader, "bitDepth" | "monochrome" | "chroma" | "colour" | "describesColour"> {
  const highDepth = reader.flag();
  const twelve = profile === 2 && highDepth && reader.flag();
  const bitDepth = twelve ? 12 : highDepth ? 10 : 8;
  const monochrome = profile !== 1 && reader.flag();
  const describesColour = reader.flag();
  const [primaries, transfer, matrix] = describesColour ? [reader.u(8), reader.u(8), reader.u(8)] : [2, 2, 2];
  const describe = (fullRange: boolean, chroma: string) => ({
    bitDepth,
    monochrome,
    chroma,
    colour: { primaries, transfer, matrix, fullRange },
    describesColour,
  });
  if (!monochrome && primaries === 1 && transfer === 13 && matrix === 0) return describe(true, "000");
  const fullRange = reader.flag();
  if (monochrome) return describe(fullRange, "110");
  if (profile === 1) return describe(fullRange, "000");
  const subsamplesX = profile === 0 || !twelve || reader.flag();
  const subsamplesY = profile === 0 || (twelve && subsamplesX && reader.flag());
  const position = subsamplesX && subsamplesY ? reader.u(2) : 0;
  return describe(fullRange, `${subsamplesX ? 1 : 0}${subsamplesY ? 1 : 0}${position}`);
}
