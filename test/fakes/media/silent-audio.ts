/** What an encoder's silence is coded as. */
export interface SilenceFormat {
  codec: "AAC" | "MP3";
  /** Hz: 48000, 44100 or 32000. */
  sampleRate: number;
  channels: 1 | 2;
}

/** An audio track as bodies of FLV tags. */
export interface SilentTrack {
  /** The decoder configuration; null where the codec has none. */
  config: Buffer | null;
  /** The body of frame `index`. */
  frame(index: number): Buffer;
  samplesPerFrame: number;
}

const AAC_RATES = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000];
/** Raw AAC-LC frames, by channel count. */
const AAC_FRAMES = {
  1: Buffer.from([0x00, 0xc8, 0x00, 0x80, 0x23, 0x80]),
  2: Buffer.from([0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80]),
};
const MP3_RATES = [44_100, 48_000, 32_000];
const MP3_BITRATE = 128_000;
const MP3_BITRATE_INDEX = 9;

/** Silence that decoders take. Throws for a sample rate that the codec does not have. */
export function encodeSilence(format: SilenceFormat): SilentTrack {
  return format.codec === "AAC" ? encodeAac(format) : encodeMp3(format);
}

function indexOf(rates: number[], { codec, sampleRate }: SilenceFormat): number {
  const index = rates.indexOf(sampleRate);
  if (index === -1) throw new Error(`${codec} of ${sampleRate} Hz is not made here`);
  return index;
}

function encodeAac(format: SilenceFormat): SilentTrack {
  const { channels } = format;
  // AudioSpecificConfig: object type 2 (LC), rate, channels, frames of 1024 samples.
  const config = (2 << 11) | (indexOf(AAC_RATES, format) << 7) | (channels << 3);
  const frame = Buffer.concat([Buffer.from([0xaf, 1]), AAC_FRAMES[channels]]);
  return { config: Buffer.from([0xaf, 0, config >> 8, config & 0xff]), frame: () => frame, samplesPerFrame: 1024 };
}

/** MPEG-1 Layer III whose side information says that there is nothing. FLV keeps 48 and 32 kHz under the name of 44.1 kHz. */
function encodeMp3(format: SilenceFormat): SilentTrack {
  const rate = indexOf(MP3_RATES, format);
  const { channels, sampleRate } = format;
  const exact = (144 * MP3_BITRATE) / sampleRate;
  return {
    config: null,
    samplesPerFrame: 1152,
    frame: (index) => {
      const isPadded = Math.floor((index + 1) * exact) - Math.floor(index * exact) > Math.floor(exact);
      const frame = Buffer.alloc(1 + Math.floor(exact) + (isPadded ? 1 : 0));
      frame.writeUInt8(channels === 2 ? 0x2f : 0x2e, 0);
      frame.writeUInt16BE(0xfffb, 1);
      frame.writeUInt8((MP3_BITRATE_INDEX << 4) | (rate << 2) | (isPadded ? 2 : 0), 3);
      frame.writeUInt8(channels === 2 ? 0x00 : 0xc0, 4);
      return frame;
    },
  };
}
