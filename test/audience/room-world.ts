import { expect } from "vitest";
import { EventLog } from "../../durable-objects/audience/event-log.ts";
import { socketsInProcess } from "../../durable-objects/audience/process-sockets.ts";
import { Room, type RoomLimits } from "../../durable-objects/audience/room.ts";
import type { Visit } from "../../durable-objects/audience/visit.ts";
import { FakeObjectState, FakeSocket } from "../fakes/object-state.ts";
import { addressOf, assertSame, type Client, type Frame } from "./room-client.ts";
import { RoomModel } from "./room-model.ts";

const INSTANCE = "11111111-1111-4111-8111-111111111111";
const OTHER_INSTANCE = "22222222-2222-4222-8222-222222222222";
const MINUTE = 60_000;
const START = Date.UTC(2026, 0, 1);

/** How a client that opens a socket says where it left off. */
export type Resume = "none" | "left" | "stale" | "ahead" | "elsewhere";

/** A room with its clients, beside the model of what they should see: each command is done to both, and `check` compares them. */
export class RoomWorld {
  readonly #state = new FakeObjectState();
  readonly #model = new RoomModel();
  readonly #clients: Client[] = [];
  readonly #limits: RoomLimits;
  readonly #points = { join: 0, leave: 0 };
  #log: EventLog;
  #room: Room;
  #now = START;
  #setBack = false;
  #said = 0;
  #changes = 0;
  #before = "0 0";

  constructor(limits: RoomLimits) {
    this.#limits = limits;
    [this.#log, this.#room] = this.#build();
  }

  dispose(): void {
    this.#state.dispose();
  }

  join(name: number, resume: Resume, behind: number): void {
    const viewer = `viewer-${name}`;
    const address = addressOf(viewer);
    const left = this.#clients.findLast(({ model }) => model.viewer === viewer)?.at ?? 0;
    const seq = { none: 0, left, stale: Math.max(0, left - behind), ahead: this.#model.newest + 1 + behind, elsewhere: left }[resume];
    const point = resume === "none" ? null : { instance: resume === "elsewhere" ? OTHER_INSTANCE : INSTANCE, seq };
    const visit: Visit = {
      ...{ viewer, address, resume: point, player: name, nextPlayer: name, device: "desktop", country: null, hasToken: false },
      ...{ place: { stream: "stream", member: -1 }, plan: null },
    };
    const refusal = this.#refusal(viewer, address);
    if (refusal !== null) {
      expect(() => this.#room.admit(visit, this.#now)).toThrow(expect.objectContaining({ status: refusal }));
      return;
    }
    this.#room.admit(visit, this.#now);
    const socket = new FakeSocket();
    const greet = () => ({ event: "connection_established", data: {} }) as never;
    this.#room.join(socket as unknown as WebSocket, visit, INSTANCE, greet, this.#now);
    const known = point !== null && resume !== "elsewhere" && seq <= this.#model.newest;
    const replayedFrom = this.#readGreeting(socket, known ? seq : null, point !== null);
    const model = this.#model.join(viewer, replayedFrom, this.#now);
    this.#clients.push({
      model,
      socket,
      looked: socket.delivered.length,
      at: this.#model.newest,
      ended: "no",
      closedAt: null,
      givenUp: false,
    });
  }

  /** The client closes or the line breaks. The object's handler is the same; it may be late. */
  close(which: number, late: boolean): void {
    const client = this.#pick(which);
    if (client === undefined || client.socket.halfOpen) return;
    client.ended = "unhandled";
    client.socket.end();
    if (!late) this.#runHandler(client);
  }

  runLateHandlers(): void {
    for (const client of this.#clients) if (client.ended === "unhandled") this.#runHandler(client);
  }

  /** The client is gone, and nobody is told. */
  halfOpen(which: number): void {
    const client = this.#pick(which);
    if (client !== undefined) client.socket.halfOpen = true;
  }

  ping(which: number): void {
    const client = this.#pick(which);
    if (client === undefined || client.socket.halfOpen) return;
    const answered = this.#state.answer(client.socket, "ping", this.#now);
    expect(answered).toBe(client.model.open);
    if (answered) client.model.signs.push(this.#now);
  }

  playback(which: number): void {
    const client = this.#pick(which);
    if (client === undefined || client.socket.halfOpen) return;
    this.#said += 1;
    const said = { rendition: `${this.#said}p`, stalls: this.#said, switches: this.#said + 1 };
    if (!this.#say(client, JSON.stringify({ type: "playback", ...said, buffered_ms: 1, latency_ms: null }))) return;
    const { stay } = client.model;
    const since = this.#now - stay.heardAt;
    const heard = this.#room.sessions(Number.MAX_SAFE_INTEGER, 1_000).some(({ stalls }) => stalls === said.stalls);
    // One in 10 s is heard; the clocks of client and object may differ a little, and the object's may have been set back.
    if (since >= 10_000) expect(heard).toBe(true);
    if (since >= 0 && since < 9_000) expect(heard).toBe(false);
    if (heard) Object.assign(stay, { playback: said, heardAt: this.#now });
  }

  acknowledge(which: number, behind: number): void {
    const client = this.#pick(which);
    if (client === undefined || client.socket.halfOpen) return;
    const seq = Math.max(0, client.at - behind);
    if (this.#say(client, JSON.stringify({ type: "ack", seq }))) client.model.readUpTo = Math.max(client.model.readUpTo, seq);
  }

  /** What the protocol does not know; the object has to close with `code`. */
  breakProtocol(which: number, what: "binary" | "large" | "no json" | "no message" | "ahead"): void {
    const client = this.#pick(which);
    if (client === undefined || client.socket.halfOpen) return;
    const [code, message] = (
      {
        binary: [1003, new ArrayBuffer(4)],
        large: [1009, "語".repeat(1_366)],
        "no json": [1007, "{"],
        "no message": [1007, '{"type":"pong"}'],
        ahead: [1007, JSON.stringify({ type: "ack", seq: this.#model.newest + 1 })],
      } as const
    )[what];
    this.#say(client, message, code);
  }

  flood(which: number, count: number): void {
    const client = this.#pick(which);
    if (client === undefined || client.socket.halfOpen) return;
    for (let sent = 0; sent < count && client.model.open; sent++) this.#say(client, JSON.stringify({ type: "ack", seq: 0 }));
    // At one moment, whatever the window is.
    if (count > 10) expect(client.model.open).toBe(false);
  }

  tell(count: number, characters: number, wide: boolean): void {
    for (let i = 0; i < count; i++) {
      const payload = (wide ? "語" : "x").repeat(characters);
      const at = new Date(this.#now).toISOString();
      const sent = this.#log.append({ event: "timed_metadata", data: { at, payload } }, this.#now);
      assertSame(JSON.parse(sent.text), { event: "timed_metadata", data: { at, payload }, seq: this.#model.newest + 1 });
      this.#model.tell(sent.text, Buffer.byteLength(sent.text), this.#now);
      this.#room.broadcast(sent, this.#now);
    }
  }

  /** Another object has seated the viewer so much later than this one, or earlier. */
  claim(name: number, laterMs: number): void {
    const viewer = `viewer-${name}`;
    const here = this.#model.open().find((client) => client.viewer === viewer);
    const joinedAt = here?.signs[0] ?? this.#now;
    const staying = this.#room.judge([{ viewer, joinedAt: joinedAt + laterMs }], 3, this.#now);
    assertSame(staying, this.#model.claim(viewer, joinedAt + laterMs, this.#now) ? [{ viewer, joinedAt }] : []);
  }

  wait(ms: number): void {
    this.#now += ms;
  }

  setClock(ms: number): void {
    this.#now += ms;
    if (ms < 0) this.#setBack = true;
  }

  /** The alarm, which may come at any time; `due` waits for when the room wants it. */
  sweep(due: boolean): void {
    const at = this.#room.nextSweepAt(this.#now);
    if (due && at !== null && at < this.#now + 30 * MINUTE) this.#now = Math.max(this.#now, at);
    const clients = this.#model.open().map((client) => ({ client, silent: this.#model.isSilent(client, this.#now) }));
    const waiting = [...this.#model.waiting.keys()].map((viewer) => ({ viewer, givenUp: this.#model.isGivenUp(viewer, this.#now) }));
    this.#room.sweep(this.#now);
    for (const { client, silent } of clients) {
      const dropped = silent === "either" ? this.#room.joinedAt(client.viewer) === null : silent === "yes";
      if (dropped) this.#model.leave(client, 4002, this.#now);
    }
    const lasting = new Set(this.#rows().flatMap(({ viewer, left_at }) => (left_at === null ? [viewer] : [])));
    for (const { viewer, givenUp } of waiting) {
      if (givenUp === "either" ? !lasting.has(viewer) : givenUp === "yes") this.#model.giveUp(viewer, this.#now);
    }
  }

  hibernate(): void {
    for (const client of this.#clients) client.givenUp = false;
    this.#model.hibernate(this.#now);
    [this.#log, this.#room] = this.#build();
    this.#before = this.#counts();
  }

  restart(afterMs: number): void {
    this.#state.restart();
    this.#now += afterMs;
    this.#model.restart(this.#now);
    for (const client of this.#clients) client.ended = "handled";
    [this.#log, this.#room] = this.#build();
    this.#before = this.#counts();
  }

  /** Holds the room against the model. */
  check(): void {
    const present = this.#model.present();
    const count = present.size + this.#model.waiting.size;
    const room = this.#room;
    const connected = present.size;
    assertSame(
      { connected: room.connected, count: room.count, inProcess: socketsInProcess() },
      { connected, count, inProcess: this.#held().length },
    );
    if (this.#counts() !== this.#before) expect(this.#changes).toBeGreaterThan(0);
    this.#before = this.#counts();
    this.#changes = 0;
    for (const client of this.#clients) {
      if (!client.model.open && client.ended !== "handled") client.closedAt ??= this.#now;
      this.#checkClient(client);
    }
    this.#checkSessions();
    this.#checkSweepTime(count);
  }

  #build(): [EventLog, Room] {
    const log = new EventLog(this.#state.storage.sql as unknown as SqlStorage, 0);
    const owner = {
      ...{ ctx: this.#state.asState(), log, limits: this.#limits, streamId: () => "stream", member: () => -1 },
      analytics: { write: ({ kind }: { kind: string }) => void this.#points[kind as "join" | "leave"]++ },
      onChange: () => void this.#changes++,
    };
    return [log, new Room(owner, this.#now)];
  }

  #counts(): string {
    return `${this.#room.connected} ${this.#room.count}`;
  }

  #rows() {
    return this.#state.rows<{
      id: number;
      viewer: string;
      left_at: number | null;
      rendition: string | null;
      stalls: number;
      switches: number;
    }>("SELECT id, viewer, left_at, rendition, stalls, switches FROM sessions ORDER BY id");
  }

  #pick(which: number): Client | undefined {
    const able = this.#clients.filter(({ ended }) => ended === "no").slice(-10);
    return able[which % able.length];
  }

  #refusal(viewer: string, address: string | null): number | null {
    for (const client of this.#clients) if (client.closedAt !== null && this.#now - client.closedAt >= 60_000) client.givenUp = true;
    const held = this.#held().filter(({ givenUp }) => !givenUp);
    const isBack = this.#model.present().has(viewer);
    const most = (limit: number) => (isBack ? Math.ceil(limit * 1.05) : limit);
    if (held.length >= most(this.#limits.sockets)) return 503;
    const near = held.filter(({ model }) => addressOf(model.viewer) === address).length;
    return address !== null && near >= most(this.#limits.socketsPerAddress) ? 429 : null;
  }

  /** Sockets that take room: also closed ones, until their handler has run. */
  #held(): Client[] {
    return this.#clients.filter(({ ended }) => ended !== "handled");
  }

  /** Reads what a socket begins with. Returns the event after which the events of the log were sent. */
  #readGreeting({ delivered }: FakeSocket, resumed: number | null, asked: boolean): number {
    const { newest, events } = this.#model;
    const [greeting, ...rest] = delivered.map((text) => JSON.parse(text) as Frame);
    expect([greeting?.event, greeting?.seq]).toEqual(["connection_established", resumed ?? newest]);
    const gap = rest[0]?.event === "gap" ? rest[0] : null;
    if (resumed === null) {
      expect(rest).toEqual(asked && newest > 0 ? [{ event: "gap", seq: newest, data: { from: 1, to: newest } }] : []);
      return newest;
    }
    const lost = gap === null ? 0 : gap.data.to - resumed;
    const { least, most } = this.#model.lostAfter(resumed, this.#now);
    expect(lost).toBeGreaterThanOrEqual(least);
    expect(lost).toBeLessThanOrEqual(most);
    if (gap !== null) expect(gap).toEqual({ event: "gap", seq: resumed + lost, data: { from: resumed + 1, to: resumed + lost } });
    assertSame(
      delivered.slice(gap === null ? 1 : 2),
      events.slice(resumed + lost).map(({ text }) => text),
    );
    return resumed + lost;
  }

  /** A client's message. Returns whether the object has taken it; otherwise it has to have closed the socket, and said why. */
  #say(client: Client, message: string | ArrayBuffer, code?: number): boolean {
    const { model, socket } = client;
    const { open } = model;
    const looked = socket.delivered.length;
    this.#room.receive(socket as unknown as WebSocket, message, this.#now);
    const answers = socket.delivered.slice(looked).map((text) => JSON.parse(text) as Frame);
    if (!open) {
      expect(answers).toEqual([]);
      return false;
    }
    const isCounted = code !== 1003 && code !== 1009;
    const lately = model.messages.filter((at) => Math.abs(this.#now - at) < 10_000).length;
    const isFlood = isCounted && lately >= 10 && socket.closed?.code === 1008;
    const expected = isFlood ? 1008 : code;
    if (isCounted) model.messages.push(this.#now);
    if (expected === undefined) {
      expect(answers).toEqual([]);
      return true;
    }
    this.#model.leave(model, expected, this.#now);
    expect(answers.map(({ event, seq }) => [event, seq])).toEqual([["error", this.#model.newest]]);
    client.looked = socket.delivered.length;
    return false;
  }

  #runHandler(client: Client): void {
    client.ended = "handled";
    this.#room.leave(client.socket as unknown as WebSocket, this.#now);
    this.#state.forget(client.socket);
    this.#model.leave(client.model, null, this.#now);
  }

  #checkClient(client: Client): void {
    const { model, socket } = client;
    for (; client.looked < socket.delivered.length; client.looked++) {
      const text = socket.delivered[client.looked] as string;
      if (text === "pong") continue;
      if (text !== this.#model.events[client.at]?.text) expect(text).toBe(this.#model.events[client.at]?.text);
      client.at += 1;
    }
    if (client.ended !== "no") return;
    assertSame([model.viewer, socket.closed?.code ?? null], [model.viewer, model.code]);
    if (model.open && !socket.halfOpen) assertSame(client.at, this.#model.newest);
  }

  #checkSessions(): void {
    const { stays } = this.#model;
    const rows = this.#rows();
    // A clock that was set back does not make a later stay's number a lesser one.
    const started = rows.map(({ id }, index) => (this.#setBack ? Math.floor(id / 1000) : (stays[index]?.joinedAt ?? 0)));
    assertSame(
      rows.map(({ id, viewer, left_at }) => [viewer, Math.floor(id / 1000), left_at === null]),
      stays.map(({ viewer, leftAt }, index) => [viewer, started[index], leftAt === null]),
    );
    const there = [...this.#model.present(), ...this.#model.waiting.keys()].sort();
    assertSame(rows.flatMap(({ viewer, left_at }) => (left_at === null ? [viewer] : [])).sort(), there);
    const page = this.#room.sessions(Number.MAX_SAFE_INTEGER, 1_000).reverse();
    assertSame(
      page.map(({ rendition, stalls, switches }) => ({ rendition, stalls, switches })),
      stays.map(({ playback }) => playback),
    );
    for (const [index, { leftAt, cutOffAt }] of stays.entries()) {
      if (leftAt === null) continue;
      const joinedAt = started[index] as number;
      const latest = Math.max(leftAt, joinedAt);
      const earliest = cutOffAt === null ? latest : Math.max(this.#setBack ? 0 : cutOffAt, joinedAt);
      const left = rows[index]?.left_at ?? 0;
      if (left < earliest || left > latest) throw new Error(`stay ${index} ended at ${left}, not between ${earliest} and ${latest}`);
    }
    const over = stays.filter(({ leftAt }) => leftAt !== null).length;
    const writes = { inserts: 0, updates: 0, others: 0 };
    for (const { sql, changes } of this.#state.writes) {
      if (sql.startsWith("INSERT INTO sessions") && changes === 1) writes.inserts += 1;
      else if (sql.startsWith("UPDATE sessions") && changes === 1) writes.updates += 1;
      else if (sql.includes("sessions")) writes.others += 1;
    }
    assertSame(writes, { inserts: stays.length, updates: over, others: 0 });
    assertSame(this.#points, { join: stays.length, leave: over });
  }

  #checkSweepTime(count: number): void {
    const at = this.#room.nextSweepAt(this.#now);
    if (this.#model.stays.length === 0) assertSame(at, null);
    if (count === 0 || this.#setBack) return;
    const until = [...this.#model.waiting.values()].map(({ atMost }) => Math.max(atMost, this.#now + 2_000));
    const latest = Math.min(this.#now + 65_000, ...until);
    if (at === null || at > latest) throw new Error(`the next sweep is at ${at}, not by ${latest}`);
  }
}
