import { isKnownFrame, type UnknownFrame } from "./frame.ts";

/** What a frame is in the order of events: the `next` one, one that is `old`, or one before which others are missing: a `hole`. */
export type Place = "next" | "old" | "hole";

/** Follows the numbers of a stream's events, over reconnections. */
export class Sequence {
  #instance: string | null = null;
  #seq = 0;

  /** The number of the last event that was read; null before a server's greeting. */
  get seq(): number | null {
    return this.#instance === null ? null : this.#seq;
  }

  /** The `resume` parameter of a new connection; null where there is nothing to go on from. */
  get resumePoint(): string | null {
    return this.#instance === null ? null : `${this.#instance}.${this.#seq}`;
  }

  /** Takes a frame in. An event that this client does not know counts as any other. */
  take(frame: UnknownFrame): Place {
    if (isKnownFrame(frame)) {
      if (frame.event === "connection_established") {
        this.#instance = frame.data.instance;
        this.#seq = frame.seq;
        return "next";
      }
      if (frame.event === "gap") {
        this.#seq = Math.max(this.#seq, frame.data.to);
        return "next";
      }
      if (frame.event === "error") return "next";
    }
    if (this.#instance === null || frame.seq <= this.#seq) return "old";
    if (frame.seq > this.#seq + 1) return "hole";
    this.#seq = frame.seq;
    return "next";
  }
}
