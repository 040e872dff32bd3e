import { parseAacConfig } from "../package/aac.ts";
import { encodeSilentMp3, samplesOfMp3 } from "./mp3.ts";

/** Raw AAC-LC frames of silence, by channel count. */
const SILENT_FRAMES: Record<number, Buffer> = {
  1: Buffer.from([0x00, 0xc8, 0x00, 0x80, 0x23, 0x80]),
  2: Buffer.from([0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80]),
};
const LONGEST_LAG_MS = 1500;
/** Once it has begun, silence keeps up this closely; audio that comes back must find room. */
const KEEP_BEHIND_MS = 500;
const LAG_AT_END_MS = 200;
/** In frames. Less is jitter; what is left over closes by itself, for audio times are rebuilt from whole frames. */
const SMALLEST_HOLE_FRAMES = 1.5;
const WORTH_A_FRAME = 0.75;
const JITTER_MS = 15;

/**
 * Stands in for an audio track that falls silent while the video goes on, so that playlists of both keep pace (players stall on
 * a rendition that does not). AAC-LC in mono and stereo, and MP3; other audio is waited for.
 */
export class SilenceFiller {
  readonly #frame: Buffer | null;
  readonly #frameMs: number;
  #nextMs: number | null = null;
  #filling = false;

  /** `frame` is one of silence; null where none is known. */
  private constructor(frame: Buffer | null, frameMs: number) {
    this.#frame = frame;
    this.#frameMs = frameMs;
  }

  /** `config` is the AudioSpecificConfig. */
  static forAac(config: Buffer): SilenceFiller {
    const { objectType, channels, coreSampleRate, frameLength } = parseAacConfig(config);
    const frame = objectType === 2 && frameLength === 1024 ? (SILENT_FRAMES[channels] ?? null) : null;
    return new SilenceFiller(frame, (frameLength / coreSampleRate) * 1000);
  }

  /** `sampleRate` in Hz. */
  static forMp3({ sampleRate, channels }: { sampleRate: number; channels: number }): SilenceFiller {
    return new SilenceFiller(encodeSilentMp3(sampleRate, channels), (samplesOfMp3(sampleRate) / sampleRate) * 1000);
  }

  /** A frame of the encoder's own audio was placed there: silent frames for the hole before it, where there is one. */
  note(timestamp: number): { timestamp: number; frame: Buffer }[] {
    const frames: { timestamp: number; frame: Buffer }[] = [];
    let next = this.#nextMs ?? timestamp;
    if (this.#frame !== null && timestamp - next > SMALLEST_HOLE_FRAMES * this.#frameMs) {
      for (; timestamp - next > WORTH_A_FRAME * this.#frameMs; next += this.#frameMs) {
        frames.push({ timestamp: Math.round(next), frame: this.#frame });
      }
    }
    // Whole milliseconds, and encoders that jitter: only what is further off than that moves the grid.
    this.#nextMs = (Math.abs(timestamp - next) <= JITTER_MS ? next : timestamp) + this.#frameMs;
    this.#filling = false;
    return frames;
  }

  /** Silent frames for the time that the audio owes, now that the video has come to `timestamp`, or has ended there; milliseconds. */
  fill(timestamp: number, ended = false): { timestamp: number; frame: Buffer }[] {
    this.#nextMs ??= timestamp;
    const frames: { timestamp: number; frame: Buffer }[] = [];
    const tolerated = ended ? LAG_AT_END_MS : this.#filling ? KEEP_BEHIND_MS : LONGEST_LAG_MS;
    if (this.#frame === null || timestamp - this.#nextMs < tolerated) return frames;
    this.#filling = true;
    const until = ended ? timestamp : timestamp - KEEP_BEHIND_MS;
    while (this.#nextMs <= until) {
      frames.push({ timestamp: Math.round(this.#nextMs), frame: this.#frame });
      this.#nextMs += this.#frameMs;
    }
    return frames;
  }
}
