import { type MessageBudget, spendMessage } from "../../domain/audience/message-limit.ts";
import { ClientFrame, CloseCode, type ServerEvent } from "../../domain/protocol/events.ts";
import type { Millis } from "../../domain/time.ts";

const MAX_FRAME_BYTES = 4096;

/** What a socket carries through hibernation. */
interface Attachment {
  /** Names the socket; the runtime's object for it changes over hibernation. */
  id: string;
  viewer: string;
  joinedAt: Millis;
  budget: MessageBudget;
}

/** The open sockets of a stream, by an id of ours. A cache of the runtime's list, rebuilt from it and the attachments on wake. */
export class Sockets {
  readonly #ctx: DurableObjectState;
  readonly #open = new Map<string, WebSocket>();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    for (const socket of ctx.getWebSockets()) {
      if (socket.readyState === WebSocket.OPEN) this.#open.set(attachmentOf(socket).id, socket);
    }
  }

  /** Every open socket with its viewer and when it was opened. */
  entries(): { id: string; viewer: string; joinedAt: Millis }[] {
    return [...this.#open.values()].map(attachmentOf);
  }

  /** Takes a new socket over, hibernatable. Returns its id. */
  accept(socket: WebSocket, viewer: string, now: Millis): string {
    const id = crypto.randomUUID();
    this.#ctx.acceptWebSocket(socket);
    socket.serializeAttachment({ id, viewer, joinedAt: now, budget: { windowStart: now, used: 0 } } satisfies Attachment);
    this.#open.set(id, socket);
    return id;
  }

  /** The socket is gone. */
  forget(socket: WebSocket): { id: string; viewer: string } {
    const attachment = attachmentOf(socket);
    this.#open.delete(attachment.id);
    return attachment;
  }

  /** When a socket last pinged, Unix ms; null where it never did. */
  lastPing(id: string): Millis | null {
    const socket = this.#open.get(id);
    if (socket === undefined) return null;
    return this.#ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? null;
  }

  send(id: string, event: ServerEvent, seq: number): void {
    const socket = this.#open.get(id);
    if (socket !== undefined) trySend(socket, JSON.stringify({ ...event, seq }));
  }

  broadcast(event: ServerEvent, seq: number): void {
    const text = JSON.stringify({ ...event, seq });
    for (const socket of this.#open.values()) trySend(socket, text);
  }

  close(id: string, code: number, reason: string): void {
    const socket = this.#open.get(id);
    this.#open.delete(id);
    if (socket !== undefined) closeSocket(socket, code, reason);
  }

  /** Checks a client's message; a bad one closes its socket. Returns whether the socket is still open. */
  receive(socket: WebSocket, message: string | ArrayBuffer, now: Millis): boolean {
    const violation = this.#violation(socket, message, now);
    if (violation === null) return true;
    closeSocket(socket, violation.code, violation.reason);
    return false;
  }

  #violation(socket: WebSocket, message: string | ArrayBuffer, now: Millis): { code: number; reason: string } | null {
    if (typeof message !== "string") return { code: CloseCode.unsupported, reason: "text frames only" };
    if (message.length > MAX_FRAME_BYTES) return { code: CloseCode.tooBig, reason: `frames are at most ${MAX_FRAME_BYTES} bytes` };
    const attachment = attachmentOf(socket);
    const budget = spendMessage(attachment.budget, now);
    if (budget === null) return { code: CloseCode.rate, reason: "at most 10 messages in 10 s" };
    socket.serializeAttachment({ ...attachment, budget } satisfies Attachment);
    return isClientFrame(message) ? null : { code: CloseCode.invalid, reason: "unknown message" };
  }
}

function isClientFrame(message: string): boolean {
  try {
    return ClientFrame.safeParse(JSON.parse(message)).success;
  } catch {
    return false;
  }
}

function attachmentOf(socket: WebSocket): Attachment {
  return socket.deserializeAttachment() as Attachment;
}

/** A socket that closes while we send is not our fault: its close handler follows. */
function trySend(socket: WebSocket, text: string): void {
  try {
    socket.send(text);
  } catch {
    closeSocket(socket, 1011, "cannot send");
  }
}

/** Closes a socket, also one that is closing already. */
function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // Already closed.
  }
}
