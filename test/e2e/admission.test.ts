import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type Platform, startPlatform } from "../fakes/platform.ts";
import { RawWebSocket, socketPath, UpgradeRefused } from "../fakes/raw-websocket.ts";

const MAX_IN_PROCESS = 5;
const MAX_PER_ADDRESS = 3;
/** Addresses for documentation: rfc5737, rfc3849. */
const ADDRESS = "203.0.113.7";
const NETWORK = "2001:db8:1:2";

let platform: Platform;
let stream: string;
let sockets: RawWebSocket[] = [];

beforeAll(async () => {
  platform = await startPlatform({
    vars: { MAX_SOCKETS_IN_PROCESS: String(MAX_IN_PROCESS), MAX_SOCKETS_PER_ADDRESS: String(MAX_PER_ADDRESS) },
  });
});
beforeEach(async () => {
  stream = (await platform.createStream()).id;
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await vi.waitFor(async () => expect(await connected()).toBe(0), soon);
});
afterAll(() => platform.stop());

const soon = { timeout: 5_000, interval: 20 };

async function connected(): Promise<number | undefined> {
  return (await platform.getStream(stream)).viewers?.connected;
}

async function open(path: string, headers: Record<string, string> = {}): Promise<RawWebSocket> {
  const socket = await RawWebSocket.open(platform.site, path, headers);
  sockets.push(socket);
  return socket;
}

async function join(viewer: string, address?: string): Promise<RawWebSocket> {
  return open(socketPath(stream, viewer), address === undefined ? {} : { "CF-Connecting-IP": address });
}

/** What a refused upgrade was answered. */
async function refusal(opening: Promise<RawWebSocket>): Promise<UpgradeRefused & { error: string }> {
  const refused = await opening.then(
    () => {
      throw new Error("the upgrade was let through");
    },
    (error: unknown) => error,
  );
  if (!(refused instanceof UpgradeRefused)) throw refused;
  expect(refused.headers["content-type"]).toBe("application/json");
  expect(refused.headers["cache-control"]).toBe("no-store");
  const body = JSON.parse(refused.body) as { error: string; message: string; request_id: string };
  expect(body).toEqual(expect.objectContaining({ message: expect.any(String), request_id: expect.any(String) }));
  return Object.assign(refused, { error: body.error });
}

describe("who is not let in is told why, in JSON", () => {
  it.each<[what: string, request: () => Promise<RawWebSocket>, status: number, error: string]>([
    ["another site", () => open(socketPath(stream, "viewer-01"), { Origin: "https://evil.example" }), 403, "origin_not_allowed"],
    ["an origin that is none", () => open(socketPath(stream, "viewer-01"), { Origin: "null" }), 403, "origin_not_allowed"],
    ["no viewer", () => open(`/api/v1/streams/${stream}/ws`), 400, "invalid_request"],
    ["a short viewer", () => open(socketPath(stream, "short")), 400, "invalid_request"],
    ["a viewer of other characters", () => open(socketPath(stream, "viewer%0A01")), 400, "invalid_request"],
    ["a resume point of no shape", () => open(socketPath(stream, "viewer-01", "&resume=1.1")), 400, "invalid_request"],
    ["an empty resume point", () => open(socketPath(stream, "viewer-01", "&resume=")), 400, "invalid_request"],
    ["a made-up stream", () => open(socketPath("0".repeat(24), "viewer-01")), 404, "stream_not_found"],
    ["no upgrade", () => open(socketPath(stream, "viewer-01"), { Connection: "keep-alive", Upgrade: "" }), 426, "upgrade_required"],
    ["another upgrade", () => open(socketPath(stream, "viewer-01"), { Upgrade: "h2c" }), 426, "upgrade_required"],
  ])("%s", async (_what, request, status, error) => {
    expect(await refusal(request())).toMatchObject({ status, error });
    expect(await connected()).toBe(0);
  });

  it("pages of the site itself, and whoever is no browser, are let in", async () => {
    await open(socketPath(stream, "viewer-01"), { Origin: platform.site });
    await open(socketPath(stream, "viewer-02"));
    await vi.waitFor(async () => expect(await connected()).toBe(2), soon);
  });
});

describe("a process that is full", () => {
  it("answers 503 with Retry-After, keeps whom it has, and has room again when one leaves", async () => {
    const inside = [];
    for (let viewer = 1; viewer <= MAX_IN_PROCESS; viewer++) inside.push(await join(`viewer-0${viewer}`));
    const { status, error, headers } = await refusal(join("viewer-06"));
    expect([status, error]).toEqual([503, "too_many_viewers"]);
    expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    // Of another stream as well: they share the process.
    const other = await platform.createStream();
    expect((await refusal(open(socketPath(other.id, "viewer-06")))).status).toBe(503);

    // Who is inside may come again: the newer socket takes the older one's place.
    inside[0] = await join("viewer-01");
    for (const socket of inside) {
      socket.text("ping");
      await vi.waitFor(() => expect(socket.pongs).toBe(1), soon);
      expect(socket.closed).toBeNull();
    }
    expect(await connected()).toBe(MAX_IN_PROCESS);

    inside[1]?.destroy();
    await vi.waitFor(() => join("viewer-06"), soon);
    await vi.waitFor(async () => expect(await connected()).toBe(MAX_IN_PROCESS), soon);
  });
});

describe("an address", () => {
  it.each([
    ["an IPv4 address", [ADDRESS, ADDRESS, ADDRESS, `::ffff:${ADDRESS}`], "203.0.113.8"],
    ["the /64 of an IPv6 address", [`${NETWORK}::1`, `${NETWORK}::2`, `${NETWORK}:a:b:c:d`, `${NETWORK}:ffff::`], "2001:db8:1:3::1"],
  ])("has so many sockets of a stream at most: %s", async (_what, addresses, neighbour) => {
    const inside = [];
    for (const [index, address] of addresses.slice(0, MAX_PER_ADDRESS).entries()) inside.push(await join(`viewer-0${index}`, address));
    const refused = await refusal(join("viewer-09", addresses.at(-1)));
    expect([refused.status, refused.error]).toEqual([429, "too_many_sockets"]);
    await join("viewer-10", neighbour);
    await join("viewer-11");
    inside[0]?.destroy();
    await vi.waitFor(async () => expect(await connected()).toBe(MAX_PER_ADDRESS + 1), soon);
    await join("viewer-09", addresses.at(-1));
  });

  it("is in no line of a log, and in no answer", async () => {
    const lines: string[] = [];
    const spies = [process.stdout, process.stderr].map((output) =>
      vi.spyOn(output, "write").mockImplementation((text) => {
        lines.push(String(text));
        return true;
      }),
    );
    const consoles = (["debug", "error", "info", "log", "warn"] as const).map((level) =>
      vi.spyOn(console, level).mockImplementation((...words) => void lines.push(words.map(String).join(" "))),
    );
    const said: string[] = [];
    try {
      for (const [index, address] of [ADDRESS, ADDRESS, ADDRESS, `${NETWORK}::7`].entries()) {
        const socket = await join(`viewer-0${index}`, address);
        socket.text(JSON.stringify({ type: "playback", rendition: "source", buffered_ms: 1, latency_ms: 1, stalls: 0 }));
      }
      const refused = await refusal(join("viewer-09", ADDRESS));
      said.push(refused.body, JSON.stringify(refused.headers));
      // The runtime itself has something to say of these.
      for (const socket of [sockets[0], sockets[3]] as RawWebSocket[]) {
        socket.frame(11, Buffer.from("nonsense"));
        await vi.waitFor(() => expect(socket.closed).not.toBeNull(), soon);
        socket.destroy();
      }
      await vi.waitFor(() => expect(lines.filter((line) => line.includes("Unknown opcode 11"))).toHaveLength(2), soon);
      const headers = { Authorization: "Bearer platform-admin-key", "CF-Connecting-IP": ADDRESS };
      for (const path of ["", "/viewers"]) {
        const answer = await fetch(`${platform.site}/api/v1/streams/${stream}${path}`, { headers });
        expect(answer.status).toBe(200);
        said.push(await answer.text(), JSON.stringify([...answer.headers]));
      }
    } finally {
      for (const spy of [...spies, ...consoles]) spy.mockRestore();
    }
    said.push(...sockets.flatMap(({ frames }) => frames.map((frame) => JSON.stringify(frame))), ...platform.logs);
    expect(said.join("\n")).toContain("viewer-03");
    for (const text of [...lines, ...said]) {
      expect(text).not.toContain(ADDRESS);
      expect(text).not.toContain("2001:db8");
    }
  });
});
