import amf from "node-media-server/src/protocol/amf.js";
import Rtmp from "node-media-server/src/protocol/rtmp.js";
import { encodeFlvTag } from "./flv-tag.ts";
import type { IngestLimits } from "./limits.ts";
import { guardParser } from "./parser-guard.ts";
import { ProtocolViolation } from "./protocol-violation.ts";
import { parsePublishName, parseSoftware } from "./publish-name.ts";

/** What an RTMP session makes of the bytes it is given. */
export interface RtmpEvents {
  /** Bytes for the encoder. */
  output(bytes: Buffer): void;
  /** The one `publish` of the connection. The encoder hears nothing until `start` or `fail`. */
  publish(request: { streamKey: string; software: string | null }): void;
  /** A `publish` that names no stream; the words are for the encoder. */
  badName(words: string): void;
  /** One FLV tag, a fresh buffer. `isMedia` is false for metadata. */
  tag(tag: Buffer, isMedia: boolean): void;
  /** The encoder ended its publish. */
  unpublish(): void;
}

const HANDSHAKE_DONE = 3;
const AMF3_COMMAND = 17;
const AUDIO = 8;
const VIDEO = 9;
const LARGEST_ACK_WINDOW = 2_500_000;
const SMALLEST_ACK_WINDOW = 64 * 1024;

/**
 * One connection's RTMP, without socket or clock. node-media-server parses the bytes; its server is not used, because it accepts
 * a publish before anyone is asked, lets players and refused publishers feed a live stream, keeps state of the process's own and
 * prints stream keys. Which commands count is therefore decided here.
 */
export class RtmpSession {
  readonly #rtmp = new Rtmp();
  readonly #events: RtmpEvents;
  readonly #limits: IngestLimits;
  #phase: "connecting" | "connected" | "published" = "connecting";
  #accepted = false;
  #app: unknown;
  #software: string | null = null;
  #streamId = 0;
  #received = 0;
  #acknowledged = 0;

  constructor(events: RtmpEvents, limits: IngestLimits) {
    this.#events = events;
    this.#limits = limits;
    const rtmp = this.#rtmp;
    // A megabyte per connection for a parser of FLV over HTTP, which RTMP doesn't use.
    rtmp.flv = null;
    rtmp.onOutputCallback = (bytes) => events.output(bytes);
    rtmp.invokeHandler = () => this.#handleCommand();
    rtmp.dataHandler = () => this.#handleMedia();
    guardParser(rtmp, () => this.#parserLimits());
  }

  get isHandshakeDone(): boolean {
    return this.#rtmp.handshakeState === HANDSHAKE_DONE;
  }

  /** Takes bytes of the encoder. Throws on anything malformed or forbidden, after which the session is of no use. */
  receive(bytes: Buffer): void {
    if (this.#received === 0 && bytes[0] !== 3) throw new ProtocolViolation("not RTMP");
    this.#received += bytes.length;
    if (this.#phase !== "published" && this.#received > this.#limits.bytesBeforePublish)
      throw new ProtocolViolation("too much before publish");
    const failure = this.#rtmp.parserData(bytes);
    if (failure !== null) throw new ProtocolViolation("malformed RTMP");
    this.#acknowledge();
  }

  /** Tells the encoder that it is live. */
  start(): void {
    this.#accepted = true;
    this.#rtmp.sendStatusMessage(this.#streamId, "status", "NetStream.Publish.Start", "Publishing.");
  }

  /** Tells the encoder why its publish is refused or over. */
  fail(code: "NetStream.Publish.BadName" | "NetStream.Failed", words: string): void {
    // The library's AMF strings count characters where the wire counts bytes: ASCII only.
    const description = words.replace(/[^\x20-\x7e]/g, "?").slice(0, 300);
    this.#rtmp.sendStatusMessage(this.#streamId, "error", code, description);
  }

  #parserLimits() {
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
    const { ackSize } = this.#rtmp;
    if (ackSize === undefined) return;
    const window = Math.min(Math.max(ackSize, SMALLEST_ACK_WINDOW), LARGEST_ACK_WINDOW);
    if (this.#received - this.#acknowledged < window) return;
    this.#acknowledged = this.#received;
    this.#rtmp.sendACK(this.#received % 2 ** 32);
  }

  #handleCommand(): void {
    const { header, payload } = this.#rtmp.parserPacket;
    const command = amf.decodeAmf0Cmd(payload.subarray(header.type === AMF3_COMMAND ? 1 : 0, header.length));
    if (typeof command.cmd !== "string") throw new ProtocolViolation("command without a name");
    switch (command.cmd) {
      case "connect":
        this.#handleConnect(command);
        return;
      case "createStream":
        if (this.#phase === "connecting") throw new ProtocolViolation("createStream before connect");
        this.#rtmp.onCreateStream(command);
        return;
      case "publish":
        this.#handlePublish(command.streamName, header.stream_id);
        return;
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

  #handleConnect(command: { transId?: unknown; cmdObj?: unknown }): void {
    if (this.#phase !== "connecting") throw new ProtocolViolation("second connect");
    const details = command.cmdObj;
    if (typeof details !== "object" || details === null) throw new ProtocolViolation("connect without details");
    this.#rtmp.onConnect(command);
    this.#app = "app" in details ? details.app : null;
    this.#software = parseSoftware("flashVer" in details ? details.flashVer : null);
    this.#phase = "connected";
  }

  #handlePublish(name: unknown, streamId: number): void {
    if (this.#phase === "connecting") throw new ProtocolViolation("publish before connect");
    if (this.#phase === "published") throw new ProtocolViolation("second publish");
    if (typeof name !== "string") throw new ProtocolViolation("publish without a name");
    this.#phase = "published";
    this.#streamId = streamId;
    const parsed = parsePublishName(this.#app, name);
    if ("refusal" in parsed) this.#events.badName(parsed.refusal);
    else this.#events.publish({ streamKey: parsed.streamKey, software: this.#software });
  }

  #handleMedia(): void {
    if (this.#phase !== "published") throw new ProtocolViolation("media before publish");
    const { header, payload, clock } = this.#rtmp.parserPacket;
    const tag = encodeFlvTag(header.type, clock, payload.subarray(0, header.length));
    if (tag) this.#events.tag(tag, header.type === AUDIO || header.type === VIDEO);
  }
}
