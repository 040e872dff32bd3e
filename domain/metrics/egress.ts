/** Measured bitrates of what is played, kbit/s. */
export interface Bitrates {
  /** Of the video renditions, the first that players are offered first. */
  video: Record<string, number>;
  /** Of the sound that goes with each of them; 0 without. */
  audio: number;
}

/**
 * What goes out to `viewers`, kbit/s: each at the bitrate of the rendition that its player names. Those who name none count like the mean of those who
 * do, or as the first rendition. What caches and networks add or spare is not in it.
 */
export function estimateEgress(viewers: number, renditions: Record<string, number>, { video, audio }: Bitrates): number {
  let known = 0;
  let sum = 0;
  for (const [name, count] of Object.entries(renditions)) {
    if (!Object.hasOwn(video, name)) continue;
    known += count;
    sum += count * (video[name] ?? 0);
  }
  const usual = known > 0 ? sum / known : (Object.values(video)[0] ?? 0);
  return Math.max(viewers, known) * audio + sum + Math.max(0, viewers - known) * usual;
}
