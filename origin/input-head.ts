import type { FlvTag } from "./transcode/flv.ts";
import type { MediaTag } from "./transcode/media-tag.ts";
import { parseMetadata } from "./transcode/metadata.ts";

/** A tag on its way, with what `parseMediaTag` read of it and when it arrived, Unix ms. */
export interface ArrivedTag {
  tag: FlvTag;
  media: MediaTag | null;
  at: number;
}

/** What an encoder says once, and whoever takes its media over in the middle must know: metadata, and the configuration of each codec. */
export class InputHead {
  #metadata: ArrivedTag | null = null;
  #video: ArrivedTag | null = null;
  #audio: ArrivedTag | null = null;

  note(arrived: ArrivedTag): void {
    const { tag, media } = arrived;
    if (tag.type === "script") {
      // Encoders send cue points and the like this way, too.
      if (parseMetadata(tag.data) !== null) this.#metadata = arrived;
    } else if (media?.type === "video") this.#video = configOf(media, arrived, this.#video);
    else if (media !== null) this.#audio = configOf(media, arrived, this.#audio);
  }

  /** In the order that encoders send them. */
  list(): ArrivedTag[] {
    return [this.#metadata, this.#video, this.#audio].filter((arrived) => arrived !== null);
  }
}

/** The configuration that holds now: the new one, none where the codec is another one, else the one before. */
function configOf(media: MediaTag, arrived: ArrivedTag, before: ArrivedTag | null): ArrivedTag | null {
  if (media.role === "config" && media.payload.length > 0) return arrived;
  return before?.media?.codec === media.codec ? before : null;
}

/** What a tag that waits takes in memory, in bytes: small ones are more than their own. */
export function weightOf({ tag }: ArrivedTag): number {
  return tag.raw.length + TAG_OVERHEAD;
}

const TAG_OVERHEAD = 640;
const MAX_BYTES = 16 * 1024 * 1024;

/** An encoder's tags since its last key frame, for one that stands by; audio alone keeps the last second. Over 16 MiB it waits for the next key frame. */
export class RecentMedia {
  #tags: ArrivedTag[] = [];
  #bytes = 0;
  #hasVideo = false;

  push(arrived: ArrivedTag): void {
    const { media } = arrived;
    this.#hasVideo ||= media?.type === "video";
    const begins = media?.role === "frame" && (media.type === "video" ? media.key : !this.#hasVideo && this.#isOld(arrived));
    if (begins || this.#bytes + weightOf(arrived) > MAX_BYTES) this.clear();
    this.#tags.push(arrived);
    this.#bytes += weightOf(arrived);
  }

  /** Hands over what there is. */
  take(): ArrivedTag[] {
    const tags = this.#tags;
    this.clear();
    return tags;
  }

  clear(): void {
    this.#tags = [];
    this.#bytes = 0;
  }

  #isOld({ at }: ArrivedTag): boolean {
    const first = this.#tags[0];
    return first !== undefined && at - first.at > 1000;
  }
}
