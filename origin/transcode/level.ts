/** H.264 levels (ITU-T H.264 table A-1): macroblocks a frame, macroblocks a second, kilobits a second in the High profile. */
const LEVELS: readonly [level: string, frame: number, perSecond: number, kilobits: number][] = [
  ["3.0", 1620, 40_500, 12_500],
  ["3.1", 3600, 108_000, 17_500],
  ["3.2", 5120, 216_000, 25_000],
  ["4.0", 8192, 245_760, 25_000],
  ["4.1", 8192, 245_760, 62_500],
  ["4.2", 8704, 522_240, 62_500],
  ["5.0", 22_080, 589_824, 168_750],
  ["5.1", 36_864, 983_040, 300_000],
  ["5.2", 36_864, 2_073_600, 300_000],
];

/** The lowest level, from 3.0 on, that holds such a video; players decide by it whether they can play. */
export function computeLevel(width: number, height: number, frameRate: number, maxBitrate: number): string {
  const frame = Math.ceil(width / 16) * Math.ceil(height / 16);
  const found = LEVELS.find(
    ([, most, perSecond, kilobits]) => frame <= most && frame * frameRate <= perSecond && maxBitrate <= kilobits * 1000,
  );
  return found?.[0] ?? "5.2";
}
