import { encodeMessage } from "../../fakes/rtmp/chunks.ts";
import type { FlvTag } from "../../fakes/rtmp/flv-tags.ts";
import type { Recording } from "./recording.ts";

/** What an encoder sends at once: a frame, and the sound that came up to it. */
export interface Burst {
  /** Milliseconds from the beginning of the recording. */
  at: number;
  hasFrame: boolean;
  tags: FlvTag[];
}

/** Of the messages that `Programme.encode` makes, bytes. */
export const CHUNK_BYTES = 4096;

const VIDEO = 9;
const VIDEO_CHUNK_STREAM = 6;
const AUDIO_CHUNK_STREAM = 4;
/** Behind the basic header of one byte. */
const TIMESTAMP_OFFSET = 1;
const EXTENDED = 0xffffff;

/** A recording cut into chunks beforehand: sending it costs a copy, in which timestamps are set. */
export class Programme {
  readonly headers: FlvTag[];
  readonly bursts: readonly Burst[];
  readonly periodMs: number;
  readonly #prepared: { bytes: Buffer; stamps: { offset: number; at: number }[] }[];

  constructor(recording: Recording) {
    this.headers = recording.headers;
    this.periodMs = recording.periodMs;
    this.bursts = cutBursts(recording.tags);
    this.#prepared = this.bursts.map(({ tags }) => {
      const messages = tags.map((tag) => encodeTag(tag, tag.timestamp));
      let offset = TIMESTAMP_OFFSET;
      const stamps = tags.map((tag, index) => {
        const stamp = { offset, at: tag.timestamp };
        offset += messages[index]?.length ?? 0;
        return stamp;
      });
      return { bytes: Buffer.concat(messages), stamps };
    });
  }

  /** The messages of a burst, for a round of the recording that begins at `startMs`. */
  encode(index: number, startMs: number): Buffer {
    const burst = this.bursts[index];
    const prepared = this.#prepared[index];
    if (burst === undefined || prepared === undefined) throw new Error(`the recording has no burst ${index}`);
    // From here on every chunk has four more bytes.
    if (startMs + this.periodMs >= EXTENDED)
      return Buffer.concat(burst.tags.map((tag) => encodeTag(tag, (startMs + tag.timestamp) % 2 ** 32)));
    const bytes = Buffer.from(prepared.bytes);
    for (const { offset, at } of prepared.stamps) bytes.writeUIntBE(startMs + at, offset, 3);
    return bytes;
  }
}

function cutBursts(tags: FlvTag[]): Burst[] {
  const bursts: Burst[] = [];
  let waiting: FlvTag[] = [];
  for (const tag of tags) {
    waiting.push(tag);
    if (tag.type !== VIDEO) continue;
    bursts.push({ at: tag.timestamp, hasFrame: true, tags: waiting });
    waiting = [];
  }
  const last = waiting.at(-1);
  if (last !== undefined) bursts.push({ at: last.timestamp, hasFrame: false, tags: waiting });
  return bursts;
}

function encodeTag({ type, data }: FlvTag, timestamp: number): Buffer {
  const chunkStream = type === VIDEO ? VIDEO_CHUNK_STREAM : AUDIO_CHUNK_STREAM;
  return encodeMessage({ type, streamId: 1, timestamp, payload: data }, { chunkStream, chunkSize: CHUNK_BYTES });
}
