const SAMPLE_RATES = [44_100, 48_000, 32_000];
/** How much slower the clock of MPEG 1, 2 and 2.5 runs, by the header's version bits; version 1 is reserved. */
const SLOWER: Record<number, number> = { 3: 1, 2: 2, 0: 4 };
const LAYER_3 = 1;
const MONO = 3;

/** Sample rate, Hz, and channels of an MP3 frame (ISO/IEC 11172-3 §2.4.1.3); null where the bytes are none. */
export function parseMp3Header(frame: Uint8Array): { sampleRate: number; channels: number } | null {
  const [sync, version, rates, mode] = frame;
  if (sync !== 0xff || version === undefined || rates === undefined || mode === undefined) return null;
  if ((version & 0xe0) !== 0xe0 || ((version >> 1) & 3) !== LAYER_3) return null;
  const rate = SAMPLE_RATES[(rates >> 2) & 3];
  const slower = SLOWER[(version >> 3) & 3];
  if (rate === undefined || slower === undefined) return null;
  return { sampleRate: rate / slower, channels: mode >> 6 === MONO ? 1 : 2 };
}

const MPEG_2_RATES = SAMPLE_RATES.map((rate) => rate / 2);

/** Samples of one frame: MPEG 1 has two granules of 576, its slower variants one. */
export function samplesOfMp3(sampleRate: number): number {
  return SAMPLE_RATES.includes(sampleRate) ? 1152 : 576;
}

/** A frame without a bit of sound in it, at the lowest bitrate (32 kbit/s, or 8 in MPEG 2); null for a rate that has none here. */
export function encodeSilentMp3(sampleRate: number, channels: number): Buffer | null {
  const isMpeg1 = SAMPLE_RATES.includes(sampleRate);
  const index = (isMpeg1 ? SAMPLE_RATES : MPEG_2_RATES).indexOf(sampleRate);
  if (index < 0) return null;
  const bytes = Math.floor((samplesOfMp3(sampleRate) / 8) * ((isMpeg1 ? 32_000 : 8_000) / sampleRate));
  const frame = Buffer.alloc(bytes);
  frame.set([0xff, isMpeg1 ? 0xfb : 0xf3, 0x10 | (index << 2), channels === 1 ? 0xc0 : 0x00]);
  return frame;
}
