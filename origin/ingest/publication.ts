import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { End, encodeJsonFrame, FrameReader, FrameType, Hello } from "./link-frames.ts";

/** Why a publish is over. `message` says it in words, where there is more to say. */
export interface PublicationEnd {
  reason: "unpublished" | "connection_lost" | "idle" | "ingest_lost";
  message: string | null;
}

/** One encoder's wish to publish, and after `accept` its media. */
export interface Publication {
  readonly id: string;
  readonly streamKey: string;
  readonly remoteAddress: string;
  /** What the encoder calls itself. */
  readonly software: string | null;
  /** It asked to stand by for another encoder of its key (`KEY?backup=1`). */
  readonly backup: boolean;
  /** The encoder announced that it follows a reconnect request (Enhanced RTMP). */
  readonly canReconnect: boolean;
  /** Lets the encoder start. To be answered within `decisionMs`, else the encoder is refused. */
  accept(): void;
  /** Sends the encoder away with the reason, before `accept`. */
  refuse(message: string): void;
  /** Ends an accepted publish; the encoder gets the reason. `media` ends at once. */
  stop(message: string): void;
  /** Asks an accepted encoder to connect anew, which it does at a moment of its own; without effect where it can't. */
  requestReconnect(message: string): void;
  /** An FLV stream after `accept`; it ends, never fails, with the publish. At most `unreadMedia` bytes may wait in it. */
  readonly media: Readable;
  /** Settles once and never rejects; after `refuse` and `stop` it is `connection_lost` with their message. */
  readonly ended: Promise<PublicationEnd>;
}

/** How long the ingest may take to close a link after it was told to. */
const CLOSING_MS = 2_000;
const LONGEST_FRAME_OVERHEAD = 64 * 1024;

/** The origin's side of a link. */
export class LinkedPublication implements Publication {
  readonly media = new Readable({ read() {} });
  readonly ended: Promise<PublicationEnd>;
  readonly #hello: Hello;
  readonly #link: Socket;
  readonly #unreadMedia: number;
  readonly #settle: (end: PublicationEnd) => void;
  #state: "pending" | "accepted" | "dismissed" | "over" = "pending";
  #dismissal: string | null = null;

  constructor(hello: Hello, link: Socket, unreadMedia: number) {
    const { promise, resolve } = Promise.withResolvers<PublicationEnd>();
    this.ended = promise;
    this.#settle = resolve;
    this.#hello = hello;
    this.#link = link;
    this.#unreadMedia = unreadMedia;
    link.on("close", () => this.#finish({ reason: "ingest_lost", message: "The ingest process was lost." }));
  }

  get id(): string {
    return this.#hello.id;
  }
  get streamKey(): string {
    return this.#hello.stream_key;
  }
  get remoteAddress(): string {
    return this.#hello.remote_address;
  }
  get software(): string | null {
    return this.#hello.software;
  }
  get backup(): boolean {
    return this.#hello.backup;
  }
  get canReconnect(): boolean {
    return this.#hello.can_reconnect;
  }

  accept(): void {
    if (this.#state !== "pending") return;
    this.#state = "accepted";
    this.#link.write(encodeJsonFrame(FrameType.accept, {}));
  }

  refuse(message: string): void {
    if (this.#state === "pending") this.#dismiss(FrameType.refuse, message);
  }

  stop(message: string): void {
    if (this.#state === "accepted") this.#dismiss(FrameType.stop, message);
  }

  requestReconnect(message: string): void {
    if (this.#state !== "accepted" || !this.canReconnect) return;
    this.#link.write(encodeWords(FrameType.reconnect, message));
  }

  /** `refuse` or `stop`, whichever applies. */
  dismiss(message: string): void {
    this.refuse(message);
    this.stop(message);
  }

  /** A frame from the ingest. Throws on one that does not belong here. */
  handleFrame(type: number, payload: Buffer): void {
    if (type === FrameType.end) {
      this.#finish(End.parse(JSON.parse(payload.toString("utf8"))));
    } else if (type !== FrameType.media) {
      throw new RangeError(`a frame of type ${type}`);
    } else if (this.#state === "accepted" && !this.media.destroyed) {
      this.media.push(payload);
      if (this.media.readableLength > this.#unreadMedia) this.stop("The origin can't keep up with this stream.");
    }
  }

  #dismiss(type: number, words: string): void {
    this.#state = "dismissed";
    this.#dismissal = words;
    this.media.push(null);
    this.#link.write(encodeWords(type, words));
    const patience = setTimeout(() => this.#link.destroy(), CLOSING_MS);
    this.#link.once("close", () => clearTimeout(patience));
  }

  #finish(end: PublicationEnd): void {
    if (this.#state === "over") return;
    if (this.#state !== "dismissed") this.media.push(null);
    this.#state = "over";
    this.#settle(this.#dismissal === null ? end : { reason: "connection_lost", message: this.#dismissal });
    this.#link.end();
  }
}

function encodeWords(type: number, message: string): Buffer {
  return encodeJsonFrame(type, { message: message.slice(0, 300) });
}

/** Reads a fresh link up to its `hello`, then hands the publication over. A link that breaks the framing is destroyed. */
export function receivePublication(
  link: Socket,
  limits: { unreadMedia: number; message: number },
  onPublication: (publication: LinkedPublication) => void,
): void {
  let publication: LinkedPublication | null = null;
  const reader = new FrameReader(limits.message + LONGEST_FRAME_OVERHEAD, (type, payload) => {
    if (publication) return publication.handleFrame(type, payload);
    if (type !== FrameType.hello) throw new RangeError("a link without hello");
    publication = new LinkedPublication(Hello.parse(JSON.parse(payload.toString("utf8"))), link, limits.unreadMedia);
    onPublication(publication);
  });
  link.on("error", () => {});
  link.on("data", (bytes) => {
    try {
      reader.push(bytes);
    } catch {
      link.destroy();
    }
  });
}
