import { describe, expect, it } from "vitest";
import { decideReturn, decideSeek, placeAt } from "../../workers/web/pages/watch/place.ts";
import { decideSeekKey } from "../../workers/web/pages/watch/seek-keys.ts";
import { computeTimeline, sameTimeline } from "../../workers/web/pages/watch/timeline.ts";
import { formatClock, speakDuration } from "../../workers/web/pages/watch/wording.ts";

const window = { start: 100, end: 400 };
const live = 398;

describe("a viewer's place in a live stream", () => {
  it("is the edge within three seconds of where a new viewer would start", () => {
    expect([0, 3, 3.1, 60].map(placeAt)).toEqual(["edge", "edge", "behind", "behind"]);
  });

  it("is kept over a pause that the window outlasts", () => {
    expect(decideReturn(300, window, live)).toEqual({ place: "behind", seekTo: null });
    expect(decideReturn(397, window, live)).toEqual({ place: "edge", seekTo: null });
    expect(decideReturn(100, window, live)).toEqual({ place: "behind", seekTo: null });
  });

  it("is the edge again when the window has left the viewer behind", () => {
    expect(decideReturn(99.9, window, live)).toEqual({ place: "edge", seekTo: live });
    expect(decideReturn(50, null, null)).toEqual({ place: "edge", seekTo: null });
  });

  it("is where the viewer seeks to, inside the window", () => {
    expect(decideSeek(250, window, live)).toEqual({ place: "behind", seekTo: 250 });
    expect(decideSeek(0, window, live)).toEqual({ place: "behind", seekTo: 104 });
    expect(decideSeek(396, window, live)).toEqual({ place: "edge", seekTo: live });
    expect(decideSeek(9_999, window, live)).toEqual({ place: "edge", seekTo: live });
  });

  it("of what is over is anywhere from its start to its end", () => {
    expect(decideSeek(0, window, null).seekTo).toBe(100);
    expect(decideSeek(500, window, null).seekTo).toBe(400);
  });
});

describe("the timeline", () => {
  it("says how far back a live window reaches, and how far behind live the viewer is", () => {
    expect(computeTimeline("live", 338, window, live)).toEqual({ kind: "live", reach: 298, behind: 60 });
    expect(computeTimeline("live", 399, window, live)).toMatchObject({ behind: 0 });
    expect(computeTimeline("live", 20, window, live)).toMatchObject({ behind: 298 });
  });

  it("is not there for a short live window, before anything is known, or of a short rest of a broadcast", () => {
    expect(computeTimeline("live", 150, { start: 100, end: 160 }, 158)).toBeNull();
    expect(computeTimeline(null, 150, window, live)).toBeNull();
    expect(computeTimeline("live", 150, null, null)).toBeNull();
    expect(computeTimeline("ended", 150, { start: 100, end: 160 }, null)).toBeNull();
  });

  it("counts from the start of what is over, however short a recording is", () => {
    expect(computeTimeline("ended", 160.9, window, null)).toEqual({ kind: "recorded", duration: 300, position: 60 });
    expect(computeTimeline("recording", 2, { start: 0, end: 7.9 }, null)).toEqual({ kind: "recorded", duration: 7, position: 2 });
  });

  it("changes when what it shows changes", () => {
    const at = (position: number) => computeTimeline("recording", position, window, null);
    expect(sameTimeline(at(110.2), at(110.8))).toBe(true);
    expect(sameTimeline(at(110.2), at(111))).toBe(false);
    expect(sameTimeline(null, at(111))).toBe(false);
  });

  it("is moved on by keys, of which the range alone takes those that scroll a page", () => {
    const shown = { kind: "live", reach: 300, behind: 20 } as const;
    expect(decideSeekKey("ArrowLeft", shown, false)).toEqual({ by: -10 });
    expect(decideSeekKey("ArrowRight", shown, true)).toEqual({ by: 10 });
    expect(decideSeekKey("PageDown", shown, true)).toEqual({ by: -60 });
    expect(decideSeekKey("Home", shown, true)).toEqual({ to: 300 });
    expect(decideSeekKey("End", shown, true)).toEqual({ to: 0 });
    expect(decideSeekKey("End", { kind: "recorded", duration: 90, position: 1 }, true)).toEqual({ to: 90 });
    for (const key of ["PageDown", "Home", "End", "ArrowUp"]) expect(decideSeekKey(key, shown, false)).toBeNull();
    expect(decideSeekKey("k", shown, true)).toBeNull();
  });

  it("is written as a clock, and spoken in words", () => {
    expect([0, 9, 754, 3723].map(formatClock)).toEqual(["0:00", "0:09", "12:34", "1:02:03"]);
    expect([0, 1, 62, 3600].map(speakDuration)).toEqual(["0 seconds", "1 second", "1 minute 2 seconds", "1 hour"]);
  });
});
