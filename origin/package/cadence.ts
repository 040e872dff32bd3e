import type { Declared } from "../../domain/protocol/origin-link.ts";
import { type FrameRate, measureFrameRate } from "./frame-rate.ts";

/** What a broadcast's timing is asked to be, and what an encoder said about itself. */
export interface CadenceInput {
  /** Seconds. */
  segmentTarget: number;
  /** Seconds. */
  partTarget: number;
  /** Names in `declared.part_targets`. */
  declared: Declared | null;
  /** Frames per second as the encoder announced them; null where it said nothing. */
  announcedFrameRate: number | null;
  /** Seconds between IDRs where it is we who make them; null otherwise. */
  keyInterval: number | null;
}

/** Timing that is fixed before anything is published, and never changes within a broadcast (PL1). */
export interface VideoCadence {
  /** Whole seconds. */
  targetDuration: number;
  /** Seconds, on a whole millisecond. */
  partTarget: number;
  /** What a part lasts when nothing is irregular, seconds. */
  nominalPart: number;
  /** The longest expected distance between IDRs, seconds; null where it is not known. */
  keyInterval: number | null;
  frameRate: number | null;
}

/** A video frame as the cadence sees it; `time` is its decode time in seconds. */
export interface ObservedFrame {
  time: number;
  duration: number;
  idr: boolean;
}

const LONGEST_TARGET_DURATION = 10;
const LONGEST_PART_TARGET = 1;
const FRAMES_TO_MEASURE = 12;
const MEASURE_SECONDS = 0.6;
const WAIT_FOR_SECOND_IDR_SECONDS = 2.2;
/** How far a segment may run past its target duration: less than half a second (PL3), with room for an audio frame. */
export const SEGMENT_SLACK_SECONDS = 0.45;

/** Watches the first video frames, from an IDR on, until the cadence can be said. */
export class CadenceProbe {
  #input: CadenceInput;
  #rendition: string;
  #frames: ObservedFrame[] = [];
  #secondIdr: number | null = null;
  #encoderKeyInterval: number | "infinite" | null = null;

  /** `rendition` is the name whose declared part target binds the video. */
  constructor(input: CadenceInput, rendition: string) {
    this.#input = input;
    this.#rendition = rendition;
  }

  /** The encoder's own limit on the distance between IDRs, in frames. */
  hint(keyInterval: number | "infinite" | null): void {
    this.#encoderKeyInterval = keyInterval;
  }

  /** Frames in decode order; the first is an IDR. */
  observe(frame: ObservedFrame): void {
    if (frame.idr && this.#frames.length > 0) this.#secondIdr ??= frame.time;
    this.#frames.push(frame);
  }

  /** The cadence, or null while more frames are needed. `ended`: no more will come. */
  decide(ended = false): VideoCadence | null {
    const first = this.#frames[0];
    const last = this.#frames.at(-1);
    const { declared } = this.#input;
    const declaredPart = declared?.part_targets[this.#rendition];
    if (first === undefined || last === undefined) return null;
    const observed = last.time + last.duration - first.time;
    const measured = ended || this.#frames.length >= FRAMES_TO_MEASURE || observed >= MEASURE_SECONDS;
    const bound = declared !== null && declaredPart !== undefined;
    if (!bound && !measured) return null;

    const rate: FrameRate = measureFrameRate(this.#frames, this.#input.announcedFrameRate);
    const keyInterval = this.#keyInterval(first, rate.framesPerSecond);
    const targetDuration = declared?.target_duration ?? this.#targetDuration(keyInterval, ended || observed >= WAIT_FOR_SECOND_IDR_SECONDS);
    if (targetDuration === null) return null;
    const parts = partTarget(this.#input, rate);
    return {
      targetDuration,
      partTarget: declaredPart ?? parts.target,
      nominalPart: Math.min(parts.nominal, declaredPart ?? LONGEST_PART_TARGET),
      keyInterval,
      frameRate: rate.constant ? rate.framesPerSecond : null,
    };
  }

  #keyInterval(first: ObservedFrame, framesPerSecond: number): number | null {
    if (this.#input.keyInterval !== null) return this.#input.keyInterval;
    if (typeof this.#encoderKeyInterval === "number") return this.#encoderKeyInterval / framesPerSecond;
    return this.#secondIdr === null ? null : this.#secondIdr - first.time;
  }

  #targetDuration(keyInterval: number | null, waitedEnough: boolean): number | null {
    if (this.#encoderKeyInterval === "infinite") return LONGEST_TARGET_DURATION;
    if (keyInterval !== null) {
      const needed = Math.ceil(keyInterval - SEGMENT_SLACK_SECONDS + 0.05);
      return Math.min(LONGEST_TARGET_DURATION, Math.max(1, Math.round(this.#input.segmentTarget), needed));
    }
    return waitedEnough ? LONGEST_TARGET_DURATION : null;
  }
}

/** As many whole frames as share a segment evenly, rounded up to a millisecond, so that a part of them always fits (PL3). */
function partTarget(input: CadenceInput, rate: FrameRate): { target: number; nominal: number } {
  const asked = Math.min(input.partTarget, LONGEST_PART_TARGET);
  if (!rate.constant) return { target: asked, nominal: asked };
  const partsPerSegment = Math.max(1, Math.round(input.segmentTarget / asked));
  const frames = Math.max(1, Math.ceil((rate.framesPerSecond * input.segmentTarget) / partsPerSegment - 0.02));
  const nominal = Math.min(frames / rate.framesPerSecond, LONGEST_PART_TARGET);
  return { target: Math.ceil(nominal * 1000 - 1e-6) / 1000, nominal };
}

/** How audio is cut: `gridSeconds` null means every `maxFrames` frames, else at the frame nearest to each multiple of it. */
export interface AudioCadence {
  /** Seconds, on a whole millisecond unless it was declared otherwise. */
  partTarget: number;
  maxFrames: number;
  gridSeconds: number | null;
}

/** Parts of whole audio frames that follow the video's parts (or `nominalPart` alone) and fit their own target (PL3). */
export function computeAudioCadence(input: { nominalPart: number; frameSeconds: number; declaredPartTarget: number | null }): AudioCadence {
  const perPart = input.nominalPart / input.frameSeconds;
  const wanted = Math.max(1, Math.ceil(perPart - 0.001));
  const partTarget = input.declaredPartTarget ?? Math.ceil(wanted * input.frameSeconds * 1000 - 1e-6) / 1000;
  const fitting = Math.max(1, Math.floor(partTarget / input.frameSeconds + 1e-6));
  const shortest = Math.floor(perPart + 0.001) * input.frameSeconds;
  const gridFits = wanted <= fitting && shortest >= 0.85 * partTarget;
  return { partTarget, maxFrames: fitting, gridSeconds: gridFits ? input.nominalPart : null };
}
