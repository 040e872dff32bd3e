import type { FlvTag } from "./transcode/flv.ts";
import type { MediaTag } from "./transcode/media-tag.ts";

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
    if (tag.type === "script") this.#metadata = arrived;
    else if (media?.role !== "config" || media.payload.length === 0) return;
    else if (media.type === "video") this.#video = arrived;
    else this.#audio = arrived;
  }

  /** In the order that encoders send them. */
  list(): ArrivedTag[] {
    return [this.#metadata, this.#video, this.#audio].filter((arrived) => arrived !== null);
  }
}

const MAX_BYTES = 16 * 1024 * 1024;

/** An encoder's tags since its last key frame, for one that stands by; audio alone keeps the last second. Over 16 MiB it waits for the next key frame. */
export class RecentMedia {
  #tags: ArrivedTag[] = [];
  #bytes = 0;
  #hasVideo = false;

  push(arrived: ArrivedTag): void {
    const { tag, media } = arrived;
    this.#hasVideo ||= media?.type === "video";
    const begins = media?.role === "frame" && (media.type === "video" ? media.key : !this.#hasVideo && this.#isOld(arrived));
    if (begins || this.#bytes + tag.raw.length > MAX_BYTES) this.clear();
    this.#tags.push(arrived);
    this.#bytes += tag.raw.length;
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
