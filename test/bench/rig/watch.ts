import type { Cadence } from "./cadence.ts";
import type { FrameClock } from "./frame-clock.ts";
import { pollUntil } from "./poll.ts";

/** A server's output of one stream, as a viewer gets it. */
export interface Output {
  /** Number of the first segment. */
  firstSegment: number;
  /** The segment's bytes, once a playlist lists it; null before. */
  segment(number: number): Promise<Buffer | null>;
  /** The part's bytes; null before they are there. Null where the server has no parts. */
  part: ((segment: number, part: number) => Promise<Buffer | null>) | null;
  /** Which published frame the media ends with. Throws where the media is not what was published. */
  lastFrame(bytes: Buffer, expected: number): number;
}

/** From the last frame going to the socket to the media in the viewer's hands, s. */
export interface Delays {
  parts: number[];
  segments: number[];
  /** Parts that were still not there when their segment was. */
  missingParts: number;
}

/** When to measure, ms of `performance.now()`: media whose last frame was sent from `from` to `until` counts. Set `until` to end the watch. */
export interface Period {
  from: number;
  until: number;
}

/**
 * Follows a stream from its first frame, and measures in the period. Rejects where a segment does not come, or where media
 * does not end with the frame that it should; what was measured up to then is in `delays`.
 */
export async function watch(
  clock: FrameClock,
  output: Output,
  cadence: Cadence,
  period: Period,
  delays: Delays = { parts: [], segments: [], missingParts: 0 },
): Promise<Delays> {
  let newestSegment = Number.NEGATIVE_INFINITY;
  const counts = (sentAt: number) => sentAt >= period.from && sentAt <= period.until;

  const watchSegments = async () => {
    let last = -1;
    for (let number = output.firstSegment; ; number++) {
      const expected = last + cadence.segmentFrames;
      if ((await clock.sent(expected)) > period.until) return;
      const { value, at } = await pollUntil(`segment ${number}`, () => output.segment(number));
      newestSegment = number;
      last = output.lastFrame(value, expected);
      // One that is shorter was there before anybody asked, and nobody knows since when.
      if (last < expected) throw new Error(`segment ${number} ends with frame ${last} instead of ${expected}`);
      const sentAt = clock.sentAt(last);
      if (counts(sentAt)) delays.segments.push((at - sentAt) / 1000);
    }
  };

  const watchParts = async () => {
    const { part } = output;
    if (part === null) return;
    for (let index = 0; ; index++) {
      const segment = Math.floor(index / cadence.partEnds.length);
      const number = index % cadence.partEnds.length;
      const expected = segment * cadence.segmentFrames + (cadence.partEnds[number] ?? 0) - 1;
      const sentAt = await clock.sent(expected);
      if (sentAt > period.until) return;
      const msn = segment + output.firstSegment;
      const { value, at } = await pollUntil(`part ${msn}.${number}`, async () => {
        const isLastChance = newestSegment >= msn;
        return (await part(msn, number)) ?? (isLastChance ? "missing" : null);
      });
      if (value === "missing") {
        if (counts(sentAt)) delays.missingParts += 1;
        continue;
      }
      const last = output.lastFrame(value, expected);
      if (last !== expected) throw new Error(`part ${msn}.${number} ends with frame ${last} instead of ${expected}`);
      if (counts(sentAt)) delays.parts.push((at - sentAt) / 1000);
    }
  };

  await Promise.all([watchSegments(), watchParts()]);
  return delays;
}
