/** One quality of picture that can be chosen; the index is its engine's. */
export interface Quality {
  index: number;
  label: string;
}

/** The qualities of what is playing, best first. `chosen` is the viewer's choice, null for automatic; `playing` is the one in use, null before the first frame. */
export interface Qualities {
  choices: Quality[];
  chosen: number | null;
  playing: number | null;
}

/** A rendition as a player knows it. `height` is 0 where it is not known, `bitrate` in bit/s. */
export interface Rendition {
  height: number;
  frameRate: number;
  bitrate: number;
}

/** Nothing is known yet, or nothing can be chosen. */
export const NO_QUALITIES: Qualities = { choices: [], chosen: null, playing: null };

/** Names for renditions, best first: the height, the frame rate where it is high, and the bitrate where nothing else tells two apart. */
export function nameQualities(renditions: readonly Rendition[]): Quality[] {
  const named = renditions.map(({ height, frameRate, bitrate }, index) => ({ index, height, bitrate, label: nameOf(height, frameRate) }));
  const isShared = (label: string) => named.filter((other) => other.label === label).length > 1;
  return named
    .toSorted((a, b) => b.height - a.height || b.bitrate - a.bitrate)
    .map(({ index, label, bitrate }) => ({ index, label: isShared(label) ? `${label}, ${formatBitrate(bitrate)}` : label }));
}

/** What the quality button says: `720p`, `Auto (720p)`; null where nothing is known. */
export function describeQuality({ choices, chosen, playing }: Qualities): string | null {
  const nameAt = (index: number | null) => choices.find((quality) => quality.index === index)?.label ?? null;
  if (chosen !== null) return nameAt(chosen);
  const current = nameAt(playing);
  if (current === null) return choices.length > 0 ? "Auto" : null;
  return `Auto (${current})`;
}

function nameOf(height: number, frameRate: number): string {
  if (height === 0) return "Audio";
  return `${height}p${frameRate > 31 ? Math.round(frameRate) : ""}`;
}

function formatBitrate(bitrate: number): string {
  return `${(bitrate / 1_000_000).toFixed(1)} Mbit/s`;
}
