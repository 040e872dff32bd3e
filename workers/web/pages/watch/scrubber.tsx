import { useState } from "preact/hooks";
import type { Timeline } from "./timeline.ts";
import { formatClock, speakDuration } from "./wording.ts";

/** The range to seek in. Keys are the stage's: a range's own steps are too small. */
export function Scrubber({ timeline, onSeek }: { timeline: Timeline; onSeek: (at: number) => void }) {
  const [dragged, setDragged] = useState<number | null>(null);
  const isLive = timeline.kind === "live";
  const length = isLive ? timeline.reach : timeline.duration;
  const value = dragged ?? (isLive ? length - timeline.behind : timeline.position);
  const seek = (input: HTMLInputElement) => {
    setDragged(null);
    onSeek(isLive ? length - input.valueAsNumber : input.valueAsNumber);
  };
  return (
    <input
      class="scrubber"
      type="range"
      aria-label="Seek"
      aria-valuetext={describe(timeline, value)}
      min={0}
      max={length}
      step={1}
      value={value}
      style={`--done: ${length > 0 ? (100 * value) / length : 100}%`}
      onInput={(event) => setDragged(event.currentTarget.valueAsNumber)}
      onChange={(event) => seek(event.currentTarget)}
    />
  );
}

/** `−12:34` behind live, nothing at the live edge; `1:23 / 12:34` of what is over. */
export function Clock({ timeline, atLive }: { timeline: Timeline; atLive: boolean }) {
  if (timeline.kind === "recorded")
    return <span class="clock">{`${formatClock(timeline.position)} / ${formatClock(timeline.duration)}`}</span>;
  if (atLive || timeline.behind === 0) return null;
  return <span class="clock">{`−${formatClock(timeline.behind)}`}</span>;
}

function describe(timeline: Timeline, value: number): string {
  if (timeline.kind === "recorded") return `${speakDuration(value)} of ${speakDuration(timeline.duration)}`;
  return value >= timeline.reach ? "Live" : `${speakDuration(timeline.reach - value)} behind live`;
}
