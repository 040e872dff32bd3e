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

/** Throws where the bytes are no AAC configuration that players take (program config elements among them). */
export function parseAacConfig(bytes: Uint8Array): AacConfig {
  let bit = 0;
  const read = (count: number): number => {
    let value = 0;
    for (let index = 0; index < count; index++, bit++) {
      const byte = bytes[bit >> 3];
      if (byte === undefined) throw new Error("AAC configuration is too short");
      value = value * 2 + ((byte >> (7 - (bit & 7))) & 1);
    }
    return value;
  };
  const readObjectType = (): number => {
    const type = read(5);
    return type === 31 ? 32 + read(6) : type;
  };
  const readSampleRate = (): number => {
    const index = read(4);
    const rate = index === 15 ? read(24) : SAMPLE_RATES[index];
    if (rate === undefined || rate < 7000 || rate > 96000) throw new Error("AAC configuration has no usable sample rate");
    return rate;
  };

  const objectType = readObjectType();
  const coreSampleRate = readSampleRate();
  const channels = CHANNELS[read(4)];
  if (channels === undefined || channels === 0) throw new Error("AAC configuration has no usable channel layout");
  let sampleRate = coreSampleRate;
  let core = objectType;
  if (objectType === 5 || objectType === 29) {
    sampleRate = readSampleRate();
    core = readObjectType();
  }
  if (core !== 2 && core !== 1 && core !== 4) throw new Error(`AAC object type ${core} is not supported`);
  const frameLength = read(1) === 1 ? 960 : 1024;
  return { objectType, coreSampleRate, sampleRate, channels: objectType === 29 ? 2 : channels, frameLength };
}
