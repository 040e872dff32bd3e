/** A measured frame rate; `constant` is false where frames are too uneven for the figure to mean anything. */
export interface FrameRate {
  framesPerSecond: number;
  constant: boolean;
}

/** Rates that encoders use, slowest first. */
const USUAL_RATES = [
  5,
  6,
  8,
  10,
  12,
  12.5,
  15,
  20,
  24000 / 1001,
  24,
  25,
  30000 / 1001,
  30,
  48,
  50,
  60000 / 1001,
  60,
  90,
  100,
  120000 / 1001,
  120,
];

/** FLV counts whole milliseconds, and encoders round down or up: a span may be off by that much. */
export const ROUNDING_SECONDS = 0.0021;

/**
 * The rate of frames given in decode order, in seconds. `announced` is believed where the frames bear it out. Between two
 * usual rates that the frames cannot tell apart the slower one wins: its parts have room for both.
 */
export function measureFrameRate(frames: readonly { time: number; duration: number }[], announced: number | null): FrameRate {
  const first = frames[0];
  const last = frames.at(-1);
  if (first === undefined || last === undefined) return { framesPerSecond: announced ?? 30, constant: false };
  const span = last.time + last.duration - first.time;
  const count = frames.length;
  if (span <= 0) return { framesPerSecond: announced ?? 30, constant: false };
  const mean = span / count;
  const constant = frames.every((frame) => Math.abs(frame.duration - mean) <= ROUNDING_SECONDS);
  const fits = (rate: number) => rate > 0 && Math.abs(count / rate - span) <= ROUNDING_SECONDS;
  if (announced !== null && fits(announced)) return { framesPerSecond: nearUsual(announced), constant };
  return { framesPerSecond: USUAL_RATES.find(fits) ?? 1 / mean, constant };
}

/** Encoders announce 29.97 where they mean 30000/1001. */
function nearUsual(rate: number): number {
  return USUAL_RATES.find((usual) => Math.abs(usual - rate) < 0.006) ?? rate;
}
