import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import type { Log } from "../log.ts";
import { encodeFlvHeader } from "./flv-tag.ts";
import type { IngestLimits } from "./limits.ts";
import type { End } from "./link-frames.ts";
import { OriginLink } from "./origin-link.ts";
import { ProtocolViolation } from "./protocol-violation.ts";
import { type PublishWish, RtmpSession } from "./rtmp-session.ts";

type State =
  | { at: "negotiating" }
  | { at: "asking"; link: OriginLink; held: Buffer[]; heldBytes: number }
  | { at: "live"; link: OriginLink }
  | { at: "closed" };

/** How long an encoder may take to read why it is sent away. */
const FAREWELL_MS = 1_000;
/** An encoder reads next to nothing; one that stops reading answers must not make them pile up. */
const LARGEST_BACKLOG = 256 * 1024;

/** One encoder's socket: deadlines, the question to the origin, and the forwarding of what was accepted. */
export class EncoderConnection {
  readonly #id = randomUUID();
  readonly #socket: Socket;
  readonly #address: string;
  readonly #linkPath: string;
  readonly #limits: IngestLimits;
  readonly #log: Log;
  /** When the connection began, its TLS included. */
  readonly #openedAt: number;
  #session: RtmpSession | null = null;
  #state: State = { at: "negotiating" };
  #deadline: NodeJS.Timeout;

  constructor(socket: Socket, address: string, options: { linkPath: string; limits: IngestLimits; log: Log; elapsedMs: number }) {
    this.#socket = socket;
    this.#address = address;
    this.#linkPath = options.linkPath;
    this.#limits = options.limits;
    this.#log = options.log;
    this.#openedAt = performance.now() - options.elapsedMs;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 5_000);
    this.#deadline = setTimeout(() => this.#onHandshakeDeadline(), Math.max(0, this.#limits.handshakeMs - options.elapsedMs));
    socket.on("data", (bytes) => this.#onData(bytes));
    socket.on("error", () => {});
    socket.on("end", () => this.#close({ reason: "connection_lost", message: null }));
    socket.on("close", () => this.#close({ reason: "connection_lost", message: null }));
  }

  #onData(bytes: Buffer): void {
    if (this.#state.at === "closed") return;
    try {
      this.#session ??= this.#createSession();
      this.#session.receive(bytes);
    } catch (error) {
      // Anything the parser throws is the encoder's fault. A foreign error's message may quote the input, its name does not.
      const fault = error instanceof ProtocolViolation ? error.message : "malformed RTMP";
      const level = this.#state.at === "live" ? "warn" : "debug";
      this.#log[level]({ connection: this.#id, address: this.#address, fault }, "encoder cut off");
      this.#close({ reason: "connection_lost", message: `The encoder broke the protocol: ${fault}.` });
    }
  }

  #createSession(): RtmpSession {
    return new RtmpSession(
      {
        output: (bytes) => this.#output(bytes),
        publish: (wish) => this.#ask(wish),
        badName: (words) => this.#sendAway("NetStream.Publish.BadName", words, { reason: "connection_lost", message: words }),
        tag: (tag, isMedia) => this.#onTag(tag, isMedia),
        unpublish: () => this.#close({ reason: "unpublished", message: null }, "politely"),
      },
      this.#limits,
    );
  }

  #output(bytes: Buffer): void {
    if (this.#socket.writableLength > LARGEST_BACKLOG) this.#cutOff("answers left unread");
    else if (this.#socket.writable) this.#socket.write(bytes);
  }

  #ask(wish: PublishWish): void {
    if (this.#state.at !== "negotiating") return;
    const hello = {
      id: this.#id,
      stream_key: wish.streamKey,
      remote_address: this.#address,
      software: wish.software,
      backup: wish.backup,
      can_reconnect: wish.canReconnect,
    };
    const link = new OriginLink(this.#linkPath, hello, {
      accept: () => this.#accept(),
      refuse: (words) => this.#sendAway("NetStream.Publish.BadName", words, { reason: "connection_lost", message: words }),
      stop: (words) => this.#sendAway("NetStream.Failed", words, { reason: "connection_lost", message: words }),
      reconnect: (words) => this.#session?.requestReconnect(words),
      lost: () => this.#sendAway("NetStream.Failed", "The origin is not available.", { reason: "connection_lost", message: null }),
    });
    this.#state = { at: "asking", link, held: [], heldBytes: 0 };
    this.#setDeadline(this.#limits.decisionMs, () => {
      const words = "The origin did not answer in time.";
      this.#sendAway("NetStream.Publish.BadName", words, { reason: "connection_lost", message: words });
    });
  }

  #accept(): void {
    if (this.#state.at !== "asking") return;
    const { link, held } = this.#state;
    this.#state = { at: "live", link };
    this.#session?.start();
    link.sendMedia(encodeFlvHeader());
    for (const tag of held) link.sendMedia(tag);
    this.#setDeadline(this.#limits.idleMs, () => {
      const words = `No audio or video for ${this.#limits.idleMs / 1000} s.`;
      this.#sendAway("NetStream.Failed", words, { reason: "idle", message: words });
    });
  }

  #onTag(tag: Buffer, isMedia: boolean): void {
    const state = this.#state;
    if (state.at === "asking") {
      state.held.push(tag);
      state.heldBytes += tag.length;
      if (state.heldBytes > this.#limits.bytesBeforeAccept) throw new ProtocolViolation("too much media before the publish was accepted");
    } else if (state.at === "live") {
      if (isMedia) this.#deadline.refresh();
      state.link.sendMedia(tag);
      if (state.link.unread > this.#limits.unreadMedia) {
        const words = "The origin can't keep up with this stream.";
        this.#sendAway("NetStream.Failed", words, { reason: "connection_lost", message: words });
      }
    }
  }

  #onHandshakeDeadline(): void {
    const left = this.#limits.publishMs - (performance.now() - this.#openedAt);
    if (this.#session?.isHandshakeDone) this.#setDeadline(left, () => this.#cutOff("no publish in time"));
    else this.#cutOff("handshake too slow");
  }

  #cutOff(fault: string): void {
    this.#log.debug({ connection: this.#id, address: this.#address, fault }, "encoder cut off");
    this.#close({ reason: "connection_lost", message: null });
  }

  #setDeadline(ms: number, onPassed: () => void): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(onPassed, Math.max(0, ms));
  }

  #sendAway(code: "NetStream.Publish.BadName" | "NetStream.Failed", words: string, end: End): void {
    if (this.#state.at === "closed") return;
    this.#session?.fail(code, words);
    this.#close(end, "politely");
  }

  /** Ends link and socket, once. Politely: what was written goes out first, for as long as the encoder reads within a second. */
  #close(end: End, manner?: "politely"): void {
    const state = this.#state;
    if (state.at === "closed") return;
    this.#state = { at: "closed" };
    clearTimeout(this.#deadline);
    if (state.at === "asking" || state.at === "live") state.link.end(end);
    if (manner !== "politely") return void this.#socket.destroy();
    this.#socket.end();
    this.#deadline = setTimeout(() => this.#socket.destroy(), FAREWELL_MS);
    this.#socket.once("close", () => clearTimeout(this.#deadline));
  }
}
