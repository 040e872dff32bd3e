import { BoxSplitter } from "../../../origin/package/boxes.ts";
import { parseFragment } from "../../../origin/package/fragment.ts";
import type { Sample } from "../../../origin/package/sample.ts";
import type { Recording } from "./recording.ts";

const TOLERANCE_SECONDS = 0.003;
const TS_PACKET = 188;
const TS_CLOCK = 90_000;
const TS_WRAP = 2 ** 33;
const AVC_TAG_HEADER = 5;

/** Finds out which published frame a piece of media ends with, from the media itself. */
export class FrameFinder {
  readonly #recording: Recording;
  /** Where the server's clock stands at the first frame, seconds. */
  #origin: number | null;

  /** `origin` is where the server's clock stands at the first frame, seconds; null takes it from the first media, which must then end as expected. */
  constructor(recording: Recording, origin: number | null) {
    this.#recording = recording;
    this.#origin = origin;
  }

  /** The last frame, counted from 0 over all rounds, in `moof` and `mdat` pairs. Throws where its bytes or its time are not the ones that were published. */
  lastOfFragments(bytes: Buffer, timescale: number, expected: number): number {
    const last = samplesOf(bytes).at(-1);
    if (last === undefined) throw new Error("media without a frame");
    const frame = this.#frameAt(last.dts / timescale, expected);
    const published = this.#recording.frames[frame % this.#recording.frames.length];
    if (published?.data.subarray(AVC_TAG_HEADER).equals(last.data) !== true) throw new Error(`frame ${frame} arrived with other bytes`);
    return frame;
  }

  /** The last frame to be shown of media that was encoded anew, by its time alone. */
  lastShownOfFragments(bytes: Buffer, timescale: number, expected: number): number {
    const samples = samplesOf(bytes);
    if (samples.length === 0) throw new Error("media without a frame");
    return this.#frameAt(Math.max(...samples.map(({ dts, compositionOffset }) => dts + compositionOffset)) / timescale, expected);
  }

  /** The last frame in an MPEG transport stream with one H.264 track without B-frames, by its time alone. */
  lastOfTransportStream(bytes: Buffer, expected: number): number {
    const last = videoTimes(bytes).at(-1);
    if (last === undefined) throw new Error("media without a frame");
    return this.#frameAt(last / TS_CLOCK, expected);
  }

  #frameAt(seconds: number, expected: number): number {
    this.#origin ??= seconds - this.#secondsOf(expected);
    const since = seconds - this.#origin;
    const { frames, periodMs } = this.#recording;
    const frame = Math.round((since * 1000 * frames.length) / periodMs);
    const off = since - this.#secondsOf(frame);
    if (Math.abs(off) > TOLERANCE_SECONDS) throw new Error(`frame ${frame} arrived with a time ${off.toFixed(4)} s off`);
    return frame;
  }

  #secondsOf(frame: number): number {
    const { frames, periodMs } = this.#recording;
    const within = frames[frame % frames.length]?.timestamp ?? 0;
    return (Math.floor(frame / frames.length) * periodMs + within) / 1000;
  }
}

/** The samples of `moof` and `mdat` pairs. */
export function samplesOf(bytes: Buffer): Sample[] {
  const samples: Sample[] = [];
  let moof: Buffer | null = null;
  for (const box of new BoxSplitter().push(bytes)) {
    if (box.type === "moof") moof = box.bytes;
    else if (box.type === "mdat" && moof !== null) samples.push(...parseFragment(moof, box.bytes));
  }
  return samples;
}

/** Presentation times of the video's PES packets, 90 kHz. */
function videoTimes(bytes: Buffer): number[] {
  const times: number[] = [];
  for (let at = 0; at + TS_PACKET <= bytes.length; at += TS_PACKET) {
    const startsUnit = (bytes.readUInt8(at + 1) & 0x40) !== 0;
    const hasAdaptation = (bytes.readUInt8(at + 3) & 0x20) !== 0;
    const pes = at + 4 + (hasAdaptation ? 1 + bytes.readUInt8(at + 4) : 0);
    if (!startsUnit || pes + 14 > at + TS_PACKET) continue;
    // A PES packet of a video stream (0xE0–0xEF) that carries a time.
    if (bytes.readUIntBE(pes, 3) !== 1 || (bytes.readUInt8(pes + 3) & 0xf0) !== 0xe0 || (bytes.readUInt8(pes + 7) & 0x80) === 0) continue;
    const high = (bytes.readUInt8(pes + 9) >> 1) & 0x07;
    const time = high * 2 ** 30 + (bytes.readUInt16BE(pes + 10) >> 1) * 2 ** 15 + (bytes.readUInt16BE(pes + 12) >> 1);
    times.push(time % TS_WRAP);
  }
  return times;
}
