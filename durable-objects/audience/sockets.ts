import type { MessageBudget } from "../../domain/audience/message-limit.ts";
import type { Millis } from "../../domain/time.ts";
import type { PlaybackTotals } from "./sessions.ts";

/** How long a socket that we have closed takes room while its client does not agree. */
const CLOSING_MS: Millis = 60_000;

/** A viewer's place: all that is known of an open socket. It lies in the socket's attachment, and so survives hibernation. */
export interface Seat {
  /** Names the socket. */
  id: string;
  viewer: string;
  joinedAt: Millis;
  /** Of the viewer's stay, which may be longer than the socket's. */
  session: number;
  device: string;
  country: string | null;
  address: string | null;
  /** Today's key of the player that it goes with, and tomorrow's. */
  players: [today: number, tomorrow: number];
  budget: MessageBudget;
  /** Bytes of all events ever, when the client last said that it has read them, or joined. */
  readBytes: number;
  /** `at`: when the player last told. */
  playback: PlaybackTotals & { at: Millis };
  /** Its page has had a socket before, which is gone. */
  isBack: boolean;
  /** When we closed the socket; null while it is open. It counts no more, though it may live until the client agrees. */
  closedAt: Millis | null;
}

/** The open sockets of an object and their seats. A cache of the runtime's list, rebuilt from it and the attachments on wake. */
export class Sockets {
  readonly #ctx: DurableObjectState;
  readonly #open = new Map<string, { socket: WebSocket; seat: Seat }>();
  /** Sockets that we have closed, and whose clients have not agreed yet: nobody sits there, but they take room. Oldest first. */
  readonly #closing = new Map<string, Seat>();
  /** Those whose clients have not agreed for long, and never may. */
  readonly #lingering = new Set<string>();
  readonly #byAddress = new Map<string, number>();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    for (const socket of ctx.getWebSockets()) {
      // One that its client has closed still counts here: its close handler is what has woken the object.
      const seat = seatOf(socket);
      if (seat.closedAt !== null) this.#closing.set(seat.id, seat);
      else this.#open.set(seat.id, { socket, seat });
      this.#countAddress(seat, 1);
    }
  }

  /** Open sockets. */
  get size(): number {
    return this.#open.size;
  }

  /** Those, and the ones that we have closed a moment ago but whose clients have not. */
  get held(): number {
    return this.#open.size + this.#closing.size;
  }

  /** Every socket that has not ended, however long ago we have closed it. */
  get unended(): number {
    return this.held + this.#lingering.size;
  }

  /** A client that is dead will never agree to a close: it does not keep others out for longer than a minute. */
  giveUpClosing(now: Millis): void {
    for (const [id, seat] of this.#closing) {
      if (now - (seat.closedAt ?? now) < CLOSING_MS) continue;
      this.#closing.delete(id);
      this.#lingering.add(id);
      this.#countAddress(seat, -1);
    }
  }

  /** The seats of all open sockets. */
  seats(): Seat[] {
    return [...this.#open.values()].map(({ seat }) => seat);
  }

  /** Sockets of one address that take room. */
  countFrom(address: string): number {
    return this.#byAddress.get(address) ?? 0;
  }

  /** Takes a new socket over, hibernatable. */
  accept(socket: WebSocket, seat: Seat): void {
    this.#ctx.acceptWebSocket(socket);
    socket.serializeAttachment(seat);
    this.#open.set(seat.id, { socket, seat });
    this.#countAddress(seat, 1);
  }

  /** A socket's seat; null where the socket is closed, by either side. */
  seat(id: string): Seat | null {
    return this.#open.get(id)?.seat ?? null;
  }

  /** The seat of a socket that the runtime names; null where we have closed it. */
  find(socket: WebSocket): Seat | null {
    return this.seat(seatOf(socket).id);
  }

  /** Keeps what has changed about a seat. */
  update(seat: Seat): void {
    const open = this.#open.get(seat.id);
    if (open === undefined) return;
    open.seat = seat;
    open.socket.serializeAttachment(seat);
  }

  /** When a socket last pinged, Unix ms; null where it never did. */
  lastPing(id: string): Millis | null {
    const open = this.#open.get(id);
    return open === undefined ? null : (this.#ctx.getWebSocketAutoResponseTimestamp(open.socket)?.getTime() ?? null);
  }

  send(id: string, text: string): void {
    const open = this.#open.get(id);
    if (open !== undefined) trySend(open.socket, text);
  }

  /** Sends to everybody, without looking at who reads. */
  broadcast(text: string): void {
    for (const { socket } of this.#open.values()) trySend(socket, text);
  }

  /** Seats of which something holds. */
  filter(matches: (seat: Seat) => boolean): Seat[] {
    const found: Seat[] = [];
    for (const { seat } of this.#open.values()) if (matches(seat)) found.push(seat);
    return found;
  }

  /** A socket has ended, whoever began it. Returns its seat; null where we had closed it. */
  end(socket: WebSocket): Seat | null {
    const { id } = seatOf(socket);
    const seat = this.seat(id);
    const ended = seat ?? this.#closing.get(id);
    this.#open.delete(id);
    this.#closing.delete(id);
    this.#lingering.delete(id);
    if (ended !== undefined) this.#countAddress(ended, -1);
    return seat;
  }

  /** Closes a socket: from now on nobody sits there, whenever the client agrees. */
  close(id: string, code: number, reason: string, now: Millis): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.update({ ...open.seat, closedAt: now });
    this.#open.delete(id);
    this.#closing.set(id, open.seat);
    closeSocket(open.socket, code, reason);
  }

  #countAddress({ address }: Seat, change: 1 | -1): void {
    if (address === null) return;
    const count = this.countFrom(address) + change;
    if (count > 0) this.#byAddress.set(address, count);
    else this.#byAddress.delete(address);
  }
}

function seatOf(socket: WebSocket): Seat {
  return socket.deserializeAttachment() as Seat;
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
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // Already closed.
  }
}
