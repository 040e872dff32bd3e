import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import { assertUnbroken, RawWebSocket, socketPath } from "../fakes/raw-websocket.ts";
import { createRandom } from "../fakes/rtmp/mutation.ts";
import { findContradictions, type Operation, type Sighting, shownOverTime } from "./count-bounds.ts";

/** The second that a count may be old, and half of one for a machine that does other things as well. */
const FRESHNESS_MS = 1_500;
/** Nobody tells a client when it has been counted out: it was by then. */
const LEAVING_MS = 500;
const STEP_MS = 50;

let platform: Platform;

beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform.stop());

/** What all viewers of a stream did. */
class History {
  readonly operations: Operation[] = [];
  readonly #stream: string;

  constructor(stream: string) {
    this.#stream = stream;
  }

  async join(viewer: string): Promise<RawWebSocket> {
    const started = Date.now();
    const socket = await RawWebSocket.open(platform.site, socketPath(this.#stream, viewer));
    this.operations.push({ viewer, to: "present", started, finished: Date.now() });
    return socket;
  }

  leave(viewer: string, socket: RawWebSocket, how: "close" | "destroy"): void {
    const started = Date.now();
    this.operations.push({ viewer, to: "absent", started, finished: started + LEAVING_MS });
    socket[how]();
  }
}

/** Comes, goes, comes back and opens second sockets until `end`. Returns its socket, null where it is away. */
async function wander(history: History, viewer: string, random: () => number, end: number): Promise<RawWebSocket | null> {
  let socket: RawWebSocket | null = null;
  for (;;) {
    await sleep(50 + random() * 1_500);
    if (Date.now() >= end) return socket;
    const dice = random();
    if (socket === null) {
      socket = await history.join(viewer);
    } else if (dice < 0.3) {
      history.leave(viewer, socket, "close");
      socket = null;
    } else if (dice < 0.5) {
      history.leave(viewer, socket, "destroy");
      socket = null;
    } else if (dice < 0.75) {
      history.leave(viewer, socket, "destroy");
      socket = await history.join(viewer);
    } else {
      const older = socket;
      socket = await history.join(viewer);
      if (random() < 0.5) older.destroy();
    }
  }
}

/** Asks the API for the count again and again until `isOver`. */
async function watchApi(stream: string, pauseMs: number, isOver: () => boolean): Promise<Sighting[]> {
  const seen: Sighting[] = [];
  while (!isOver()) {
    const { viewer_count } = await platform.getStream(stream);
    seen.push({ count: viewer_count, at: Date.now() });
    await sleep(pauseMs);
  }
  return seen;
}

describe.concurrent("every count that anybody is told", () => {
  it("is one that was true within the last second, whatever 40 viewers do, and exact a second after they rest", async () => {
    const random = createRandom(20_260_501);
    const { id } = await platform.createStream();
    const history = new History(id);
    const observers = [];
    for (const name of ["observer-1", "observer-2", "observer-3"]) observers.push(await history.join(name));
    const end = Date.now() + 30_000;
    const polling = watchApi(id, 100, () => Date.now() > end);
    const names = Array.from({ length: 40 }, (_, index) => `wanderer-${index}`);
    const left = await Promise.all(names.map((name) => wander(history, name, createRandom(random() * 2 ** 32), end)));
    const restedAt = Date.now();
    const rest = left.filter((socket) => socket !== null);
    await sleep(Math.max(0, restedAt + 1_000 - Date.now()));
    expect(observers.map(({ count }) => count)).toEqual(Array(3).fill(rest.length + 3));
    expect((await platform.getStream(id)).viewers).toMatchObject({ connected: rest.length + 3, sockets: rest.length + 3 });

    expect(history.operations.length).toBeGreaterThan(800);
    for (const socket of rest) expect(socket.closed).toBeNull();
    for (const observer of observers) {
      assertUnbroken(observer);
      expect(observer.counts.length).toBeGreaterThan(20);
      const shown = shownOverTime(observer.counts, restedAt, STEP_MS);
      expect(findContradictions(history.operations, shown, FRESHNESS_MS)).toEqual([]);
    }
    const polled = await polling;
    expect(polled.length).toBeGreaterThan(50);
    expect(findContradictions(history.operations, polled, FRESHNESS_MS)).toEqual([]);
    for (const socket of [...observers, ...rest]) socket.destroy();
  });

  it("is without those whose line is dead 65 to 70 s after their last sign of life, each by itself", async () => {
    const { id } = await platform.createStream();
    const history = new History(id);
    const observer = await history.join("observer-1");
    const pinging = setInterval(() => observer.text("ping"), 20_000);
    const lastSigns: { socket: RawWebSocket; from: number; to: number }[] = [];
    for (let number = 1; number <= 6; number++) {
      const viewer = `half-open-${number}`;
      const socket = await history.join(viewer);
      const from = Date.now();
      // Some have never pinged.
      if (number % 2 === 0) {
        await sleep(2_000);
        socket.text("ping");
        await vi.waitFor(() => expect(socket.pongs).toBe(1), { timeout: 5_000, interval: 5 });
      }
      const sign = number % 2 === 0 ? { from: from + 2_000, to: Date.now() } : { from: from - 500, to: from };
      lastSigns.push({ socket, ...sign });
      // And some do not even read: they are there as long as their system says so.
      if (number > 3) socket.pause();
      history.operations.push({ viewer, to: "absent", started: sign.from + 65_000, finished: sign.to + 70_000 });
    }
    const lastGone = Math.max(...lastSigns.map(({ to }) => to + 70_000));
    const polled = await watchApi(id, 250, () => Date.now() > lastGone + 100);
    clearInterval(pinging);
    expect(observer.count).toBe(1);
    expect(polled.at(-1)?.count).toBe(1);
    expect(polled.map(({ count }) => count)).toContain(7);
    expect(findContradictions(history.operations, polled, 500)).toEqual([]);
    const shown = shownOverTime(observer.counts, lastGone, STEP_MS);
    expect(findContradictions(history.operations, shown, FRESHNESS_MS)).toEqual([]);
    for (const { socket } of lastSigns) socket.resume();
    for (const { socket } of lastSigns) await vi.waitFor(() => expect(socket.closed?.code).toBe(4002), { timeout: 5_000, interval: 20 });
    observer.destroy();
  });
});

describe("the check itself", () => {
  const operations: Operation[] = [
    { viewer: "a", to: "present", started: 0, finished: 100 },
    { viewer: "b", to: "present", started: 2_000, finished: 2_100 },
    { viewer: "b", to: "absent", started: 6_000, finished: 6_500 },
    { viewer: "b", to: "present", started: 6_100, finished: 6_200 },
    { viewer: "a", to: "absent", started: 9_000, finished: 9_100 },
  ];
  it.each<[what: string, sighting: Sighting]>([
    ["nobody before anybody came", { count: 0, at: -1 }],
    ["one who may have come by now", { count: 1, at: 50 }],
    ["one who may not have come by now", { count: 0, at: 99 }],
    ["a count of a second ago", { count: 1, at: 3_099 }],
    ["the newest count", { count: 2, at: 2_001 }],
    ["one who may have left and come back", { count: 1, at: 6_150 }],
    ["the last one", { count: 1, at: 60_000 }],
  ])("accepts %s", (_what, sighting) => {
    expect(findContradictions(operations, [sighting], 1_000)).toEqual([]);
  });

  it.each<[what: string, sighting: Sighting]>([
    ["a count that is too old", { count: 1, at: 3_101 }],
    ["a count that is too old after somebody left", { count: 2, at: 10_101 }],
    ["one too many", { count: 3, at: 4_000 }],
    ["one too few", { count: 1, at: 5_999 }],
    ["somebody before he came", { count: 1, at: -1 }],
    ["two where one came back before it was sure that he left", { count: 3, at: 6_300 }],
    ["nobody where somebody stays", { count: 0, at: 60_000 }],
  ])("rejects %s", (_what, sighting) => {
    expect(findContradictions(operations, [sighting], 1_000)).toMatchObject([sighting]);
  });

  it("sees what a screen shows that is not told anything new", () => {
    const shown = shownOverTime([{ count: 1, at: 200 }], 4_000, 50);
    expect(findContradictions(operations, shown, 1_000).map(({ at }) => at)[0]).toBe(3_100);
    const told = [
      { count: 1, at: 200 },
      { count: 2, at: 3_050 },
    ];
    expect(findContradictions(operations, shownOverTime(told, 4_000, 50), 1_000)).toEqual([]);
  });
});
