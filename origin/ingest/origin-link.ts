import { connect } from "node:net";
import { type End, encodeFrame, encodeJsonFrame, FrameReader, FrameType, type Hello, Words } from "./link-frames.ts";

/** What the origin says about a publish. */
export interface OriginAnswers {
  accept(): void;
  refuse(words: string): void;
  stop(words: string): void;
  reconnect(words: string): void;
  /** The link is gone, or never came up. Not called after `end`. */
  lost(): void;
}

const LONGEST_ANSWER = 4096;

/** The ingest's side of a link: it asks the origin about one publish and forwards its media. */
export class OriginLink {
  readonly #socket;
  #ended = false;

  constructor(path: string, hello: Hello, answers: OriginAnswers) {
    const socket = connect(path);
    this.#socket = socket;
    socket.write(encodeJsonFrame(FrameType.hello, hello));
    const reader = new FrameReader(LONGEST_ANSWER, (type, payload) => {
      if (this.#ended) return;
      if (type === FrameType.accept) answers.accept();
      else if (type === FrameType.refuse) answers.refuse(parseWords(payload));
      else if (type === FrameType.stop) answers.stop(parseWords(payload));
      else if (type === FrameType.reconnect) answers.reconnect(parseWords(payload));
    });
    socket.on("data", (bytes) => {
      try {
        reader.push(bytes);
      } catch {
        socket.destroy();
      }
    });
    // The close that follows reports it.
    socket.on("error", () => {});
    socket.on("close", () => {
      if (!this.#ended) answers.lost();
    });
  }

  /** Bytes that the origin has not taken yet. */
  get unread(): number {
    return this.#socket.writableLength;
  }

  sendMedia(bytes: Buffer): void {
    this.#socket.cork();
    for (const piece of encodeFrame(FrameType.media, bytes)) this.#socket.write(piece);
    this.#socket.uncork();
  }

  /** Says why the publish is over and closes the link once the origin has read that. */
  end(end: End): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.end(encodeJsonFrame(FrameType.end, end));
  }
}

function parseWords(payload: Buffer): string {
  return Words.parse(JSON.parse(payload.toString("utf8"))).message;
}
