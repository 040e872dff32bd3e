import { describe, expect, it } from "vitest";
import type { VideoCadence } from "../../origin/package/cadence.ts";
import { FollowingSegmenter } from "../../origin/package/following-segmenter.ts";
import type { CutPart, CutSegment } from "../../origin/package/open-segment.ts";
import type { Sample } from "../../origin/package/sample.ts";
import { VideoSegmenter } from "../../origin/package/video-segmenter.ts";

const CADENCE: VideoCadence = { targetDuration: 2, partTarget: 0.5, nominalPart: 0.5, keyInterval: 2, frameRate: 30 };
const FRAME = 3000;

interface Cut {
  parts: CutPart[];
  segments: CutSegment[];
  missing: { msn: number; start: number; duration: number }[];
}

/** A leader with reordered pictures (B-frames), and a follower of the same pictures without, which comes `late` frames later; `lost` are frames that never come. */
function cutBoth(frames: number, late: number, lost: (index: number) => boolean = () => false) {
  const leading: Cut = { parts: [], segments: [], missing: [] };
  const following: Cut = { parts: [], segments: [], missing: [] };
  const track = { timescale: 90_000, cadence: CADENCE, nextMsn: 5 };
  const follower = new FollowingSegmenter(track, into(following));
  const leader = new VideoSegmenter(
    { ...track, segmentTarget: 2 },
    { ...into(leading), onBoundary: (time) => follower.boundary(time), onWarning: () => {} },
  );
  for (let index = 0; index < frames + late; index++) {
    if (index < frames) leader.push(frame(index, 2 * FRAME));
    follower.advance(leader.decidedUntil);
    // Shown when the leader's frame of that place is: its own decoder needs no reordering.
    if (index >= late && !lost(index - late)) follower.push({ ...frame(index - late, 0), dts: 90_000 + (index - late + 2) * FRAME });
  }
  leader.end();
  follower.end();
  return { leading, following };
}

function into(cut: Cut) {
  return {
    onPart: (part: CutPart) => cut.parts.push(part),
    onSegment: (segment: CutSegment) => cut.segments.push(segment),
    onMissing: (missing: Cut["missing"][number]) => cut.missing.push(missing),
  };
}

function frame(index: number, compositionOffset: number): Sample {
  return { dts: 90_000 + index * FRAME, duration: FRAME, compositionOffset, key: index % 60 === 0, data: new Uint8Array(1) };
}

describe("renditions that follow another one", () => {
  for (const late of [0, 7, 90]) {
    it(`[CM3] are cut at the same presentation times, parts too, though they come ${late} frames later`, () => {
      const { leading, following } = cutBoth(400, late);
      expect(following.segments.map(({ msn, start }) => [msn, start])).toEqual(leading.segments.map(({ msn, start }) => [msn, start]));
      const shape = ({ msn, part, duration, independent }: CutPart) => ({ msn, part, duration, independent });
      expect(following.parts.map(shape)).toEqual(leading.parts.map(shape));
      expect(following.missing).toEqual([]);
    });
  }

  it("[PL12] say which segment they have nothing for, and go on with the right number", () => {
    const { leading, following } = cutBoth(400, 5, (index) => index >= 110 && index < 250);
    const starts = leading.segments.map(({ start }) => start);
    expect(following.missing).toEqual([
      { msn: 7, start: starts[2], duration: 2 },
      { msn: 8, start: starts[3], duration: 2 },
    ]);
    expect(following.segments.map(({ msn }) => msn)).toEqual([5, 6, 9, 10, 11]);
    // The last frame before the hole lasts until its segment's end; the hole's rest stands before the first frame after it.
    expect(following.segments[1]).toMatchObject({ start: starts[1], duration: 2 });
    expect(following.segments[2]?.start).toBeCloseTo((starts[4] ?? 0) + 10 / 30, 6);
    expect(following.segments.slice(3).map(({ start }) => start)).toEqual(starts.slice(5));
  });
});
