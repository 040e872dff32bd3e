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
