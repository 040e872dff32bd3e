import { type Amf0Value, parseAmf0 } from "../transcode/amf0.ts";
import { ChunkReader, type RtmpMessage } from "./chunk-reader.ts";
import { describeCapabilities, parseCapabilities } from "./enhanced-rtmp.ts";
import { encodeFlvTag } from "./flv-tag.ts";
import { Handshake } from "./handshake.ts";
import type { IngestLimits } from "./limits.ts";
import { MessageType, type ReaderLimits } from "./message-limits.ts";
import { ProtocolViolation } from "./protocol-violation.ts";
import { type PublishName, parsePublishName, parseSoftware } from "./publish-name.ts";
import { encodeAcknowledgement, encodeResult, encodeStatus, encodeTerms } from "./rtmp-encoder.ts";

/** What an encoder asks for with `publish`, and what it said about itself before. */
export interface PublishWish {
  streamKey: string;
  /** It stands by for another encoder of the same key. */
  backup: boolean;
  software: string | null;
  /** It knows what to do when it is asked to reconnect. */
  canReconnect: boolean;
}

/** What an RTMP session makes of the bytes it is given. */
export interface RtmpEvents {
  /** Bytes for the encoder. */
  output(bytes: Buffer): void;
  /** The one `publish` of the connection. The encoder hears nothing until `start` or `fail`. */
  publish(wish: PublishWish): void;
  /** A `publish` that names no stream; the words are for the encoder. */
  badName(words: string): void;
  /** One FLV tag, a fresh buffer. `isMedia` is false for metadata. */
  tag(tag: Buffer, isMedia: boolean): void;
  /** The encoder ended its publish. */
  unpublish(): void;
}

const LARGEST_ACK_WINDOW = 2_500_000;
const SMALLEST_ACK_WINDOW = 64 * 1024;
/** What the encoder is told of our own side. */
const WINDOW = 5_000_000;
const OUTPUT_CHUNK_SIZE = 65_535;

/**
 * One connection's RTMP, without socket or clock. node-media-server answers the handshake and encodes what is said; its server
 * is not used, because it accepts a publish before anyone is asked, lets players and refused publishers feed a live stream, keeps
 * state of the process's own and prints stream keys; nor its reader of chunks, which loses its place where the chunk size changes
 * inside a message. Which commands count is decided here.
 */
export class RtmpSession {
  readonly #handshake: Handshake;
  readonly #chunks: ChunkReader;
  readonly #events: RtmpEvents;
  readonly #limits: IngestLimits;
  #phase: "connecting" | "connected" | "published" = "connecting";
  #accepted = false;
  #app: unknown;
  #software: string | null = null;
  #canReconnect = false;
  #streams = 0;
  #streamId = 0;
  #received = 0;
  #acknowledged = 0;
  /** What the encoder asked to be acknowledged after; null where it asked for nothing. */
  #window: number | null = null;

  constructor(events: RtmpEvents, limits: IngestLimits) {
    this.#events = events;
    this.#limits = limits;
    this.#handshake = new Handshake((bytes) => events.output(bytes));
    this.#chunks = new ChunkReader(
      () => this.#readerLimits(),
      (message) => this.#handleMessage(message),
    );
  }

  get isHandshakeDone(): boolean {
    return this.#handshake.isDone;
  }

  /** Takes bytes of the encoder. Throws on anything malformed or forbidden, after which the session is of no use. */
  receive(bytes: Buffer): void {
    if (this.#received === 0 && bytes[0] !== 3) throw new ProtocolViolation("not RTMP");
    this.#received += bytes.length;
    if (this.#phase !== "published" && this.#received > this.#limits.bytesBeforePublish)
      throw new ProtocolViolation("too much before publish");
    this.#chunks.push(this.#handshake.isDone ? bytes : this.#handshake.take(bytes));
    this.#acknowledge();
  }

  /** Tells the encoder that it is live. */
  start(): void {
    this.#accepted = true;
    this.#events.output(encodeStatus(this.#streamId, "status", "NetStream.Publish.Start", "Publishing."));
  }

  /** Tells the encoder why its publish is refused or over. */
  fail(code: "NetStream.Publish.BadName" | "NetStream.Failed", words: string): void {
    this.#events.output(encodeStatus(this.#streamId, "error", code, words));
  }

  /** Asks the encoder to connect anew (Enhanced RTMP, "Reconnect Request"); to no effect where it did not say that it can. */
  requestReconnect(words: string): void {
    if (!this.#canReconnect) return;
    this.#events.output(encodeStatus(0, "status", "NetConnection.Connect.ReconnectRequest", words));
  }

  #readerLimits(): ReaderLimits {
    return this.#accepted
      ? { message: this.#limits.message, chunkStreams: this.#limits.chunkStreams, buffers: this.#limits.payloadBuffers }
      : {
          message: this.#phase === "published" ? this.#limits.bytesBeforeAccept : this.#limits.messageBeforeAccept,
          chunkStreams: this.#limits.chunkStreamsBeforeAccept,
          buffers: this.#limits.payloadBuffers,
        };
  }

  #acknowledge(): void {
    // An encoder that announced no window waits for nothing, and may read nothing (FFmpeg): what it leaves unread when it closes
    // makes its system reset the connection, which loses the end of its stream and its goodbye.
    if (this.#window === null) return;
    const window = Math.min(Math.max(this.#window, SMALLEST_ACK_WINDOW), LARGEST_ACK_WINDOW);
    if (this.#received - this.#acknowledged < window) return;
    this.#acknowledged = this.#received;
    this.#events.output(encodeAcknowledgement(this.#received));
  }

  #handleMessage(message: RtmpMessage): void {
    switch (message.type) {
      case MessageType.windowSize:
        this.#window = message.payload.readUInt32BE(0);
        return;
      case MessageType.command:
        return this.#handleCommand(message.payload, message.streamId);
      case MessageType.amf3Command:
        return this.#handleCommand(message.payload.subarray(1), message.streamId);
      case MessageType.audio:
      case MessageType.video:
      case MessageType.data:
      case MessageType.amf3Data:
        return this.#handleMedia(message);
      default:
        // Acknowledgements, pings and bandwidth: nothing depends on them.
        return;
    }
  }

  #handleCommand(payload: Buffer, streamId: number): void {
    const [name, transaction, details, argument] = parseAmf0(payload);
    if (typeof name !== "string") throw new ProtocolViolation("command without a name");
    const transactionId = typeof transaction === "number" ? transaction : 0;
    switch (name) {
      case "connect":
        return this.#handleConnect(transactionId, details);
      case "createStream":
        if (this.#phase === "connecting") throw new ProtocolViolation("createStream before connect");
        this.#streams += 1;
        return this.#events.output(encodeResult(transactionId, null, this.#streams));
      case "publish":
        return this.#handlePublish(argument, streamId);
      case "play":
      case "play2":
        throw new ProtocolViolation("play");
      case "FCUnpublish":
      case "closeStream":
      case "deleteStream":
        if (this.#phase === "published") this.#events.unpublish();
        return;
      default:
        // releaseStream, FCPublish, _checkbw and others: encoders send them and don't wait for an answer.
        return;
    }
  }

  #handleConnect(transactionId: number, details: Amf0Value | undefined): void {
    if (this.#phase !== "connecting") throw new ProtocolViolation("second connect");
    if (!(details instanceof Map)) throw new ProtocolViolation("connect without details");
    const url = details.get("tcUrl");
    if (typeof url !== "string" || !URL.canParse(url)) throw new ProtocolViolation("connect without a URL");
    this.#app = details.get("app");
    this.#software = parseSoftware(details.get("flashVer"));
    const capabilities = parseCapabilities(details);
    this.#canReconnect = capabilities?.canReconnect ?? false;
    this.#phase = "connected";

    const encoding = details.get("objectEncoding");
    const properties = { fmsVer: "FMS/3,0,1,123", capabilities: 31, ...(capabilities ? describeCapabilities() : {}) };
    const information = {
      level: "status",
      code: "NetConnection.Connect.Success",
      description: "Connection succeeded.",
      objectEncoding: typeof encoding === "number" ? encoding : 0,
    };
    this.#events.output(encodeTerms(WINDOW, OUTPUT_CHUNK_SIZE));
    this.#events.output(encodeResult(transactionId, properties, information));
  }

  #handlePublish(name: Amf0Value | undefined, streamId: number): void {
    if (this.#phase === "connecting") throw new ProtocolViolation("publish before connect");
    if (this.#phase === "published") throw new ProtocolViolation("second publish");
    if (typeof name !== "string") throw new ProtocolViolation("publish without a name");
    this.#phase = "published";
    this.#streamId = streamId;
    const parsed: PublishName = parsePublishName(this.#app, name);
    if ("refusal" in parsed) this.#events.badName(parsed.refusal);
    else this.#events.publish({ ...parsed, software: this.#software, canReconnect: this.#canReconnect });
  }

  #handleMedia({ type, timestamp, payload }: RtmpMessage): void {
    if (this.#phase !== "published") throw new ProtocolViolation("media before publish");
    const tag = encodeFlvTag(type, timestamp, payload);
    if (tag) this.#events.tag(tag, type === MessageType.audio || type === MessageType.video);
  }
}
