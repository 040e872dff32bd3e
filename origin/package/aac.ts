import { BitReader } from "./bit-reader.ts";

/** What an AudioSpecificConfig says (ISO/IEC 14496-3 §1.6.2.1). */
export interface AacConfig {
  /** Audio object type as signalled: 2 is LC, 5 HE-AAC, 29 HE-AAC v2. */
  objectType: number;
  /** Sample rate of the core coder, Hz; a coded frame counts `frameLength` of these. */
  coreSampleRate: number;
  /** Sample rate that comes out, Hz: twice the core's where SBR is signalled. */
  sampleRate: number;
  channels: number;
  frameLength: 960 | 1024;
}

const SAMPLE_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
const CHANNELS = [0, 1, 2, 3, 4, 5, 6, 8];
const LC = 2;
const SBR = 5;
const PS = 29;
const SYNC_EXTENSION = 0x2b7;
/** Bits from the sync word to the end of the rate that may follow it. */
const SYNC_EXTENSION_BITS = 11 + 5 + 1 + 4;

/** Throws where the bytes are no AAC configuration that players take (program config elements among them). */
export function parseAacConfig(bytes: Uint8Array): AacConfig {
  const reader = new BitReader(bytes, "AAC configuration");
  const objectType = readObjectType(reader);
  const coreSampleRate = readSampleRate(reader);
  const channels = CHANNELS[reader.u(4)];
  if (channels === undefined || channels === 0) throw new Error("AAC configuration has no usable channel layout");
  let sampleRate = coreSampleRate;
  let core = objectType;
  if (objectType === SBR || objectType === PS) {
    sampleRate = readSampleRate(reader);
    core = readObjectType(reader);
  }
  if (core !== LC && core !== 1 && core !== 4) throw new Error(`AAC object type ${core} is not supported`);
  const frameLength = reader.flag() ? 960 : 1024;
  if (core === objectType) sampleRate = readSyncExtension(reader) ?? coreSampleRate;
  return { objectType, coreSampleRate, sampleRate, channels: objectType === PS ? 2 : channels, frameLength };
}

function readObjectType(reader: BitReader): number {
  const type = reader.u(5);
  return type === 31 ? 32 + reader.u(6) : type;
}

function readSampleRate(reader: BitReader): number {
  const index = reader.u(4);
  const rate = index === 15 ? reader.u(24) : SAMPLE_RATES[index];
  if (rate === undefined || rate < 7000 || rate > 96000) throw new Error("AAC configuration has no usable sample rate");
  return rate;
}

/** The rate that SBR makes where it is told behind the core's configuration, for decoders that do not know it (§1.6.6.1); null where it is not. */
function readSyncExtension(reader: BitReader): number | null {
  if (reader.left < 2) return null;
  if (reader.flag()) reader.skip(Math.min(14, reader.left)); // the core coder's delay
  if (reader.left === 0 || reader.flag() || reader.left < SYNC_EXTENSION_BITS) return null;
  if (reader.u(11) !== SYNC_EXTENSION || reader.u(5) !== SBR || !reader.flag()) return null;
  return readSampleRate(reader);
}
