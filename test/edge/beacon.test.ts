import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { AnalyticsRow } from "../../domain/audience/analytics-point.ts";
import { keptRows } from "../../durable-objects/analytics/memory-sink.ts";
import { analyticsOf } from "../../durable-objects/analytics/sink.ts";
import { networkOf } from "../../workers/audience/client-address.ts";
import { deviceOf, playerAgentOf } from "../../workers/audience/user-agent.ts";
import { identifyPlayer, identifyVisitor } from "../../workers/audience/visitor.ts";
import { randomBytes, streamIdsOf } from "../../workers/store/tokens.ts";
import { proveStreamId } from "../../workers/surface.ts";
import { askWorker, closedDatabase } from "./account.ts";
import { askOnce, createStream, SITE } from "./edge.ts";

const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
const IPHONE_PLAYER = "AppleCoreMedia/1.0.0.22F76 (iPhone; U; CPU OS 18_5 like Mac OS X; en_us)";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15";
const MAC_PLAYER = "AppleCoreMedia/1.0.0.24F74 (Macintosh; U; Intel Mac OS X 15_5; en_us)";
const IPAD_PLAYER = "AppleCoreMedia/1.0.0.22F76 (iPad; U; CPU OS 18_5 like Mac OS X; en_us)";
const MAC_CHROME = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const ANDROID = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36";

/** A beacon as `navigator.sendBeacon` sends it. */
function send(stream: string, body: unknown, headers: Record<string, string> = {}, via = askOnce): Promise<Response> {
  return via(`/api/v1/streams/${stream}/beacon`, {
    method: "POST",
    headers: { "Content-Type": "text/plain;charset=UTF-8", Origin: "https://elsewhere.example", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

function beaconOf(...events: unknown[]) {
  return { viewer: "viewer-0001", events };
}

describe("a beacon", () => {
  it("becomes a row for each event, in the columns' order", async () => {
    // An id that no stream was created with: what is done after a creation's answer would ask D1, too.
    const id = await streamIdsOf(env).mint(randomBytes);
    const { DB, asked } = closedDatabase();
    const get = vi.fn();
    const bindings = { DB, LIVE: { get, idFromName: get } as unknown as Env["LIVE"] };
    const answer = await send(
      id,
      beaconOf(
        { type: "startup", ms: 412, rendition: "source" },
        { type: "stall", ms: 300 },
        { type: "latency", ms: 1700.5, rendition: "720p" },
        { type: "switch", from: "720p", to: "480p" },
        { type: "error", code: "network" },
      ),
      { "User-Agent": IPHONE },
      (path, init) => askWorker(bindings, path, init),
    );
    expect([answer.status, answer.headers.get("Access-Control-Allow-Origin"), await answer.text()]).toEqual([204, "*", ""]);
    expect(keptRows(id)).toEqual<AnalyticsRow[]>([
      { indexes: [id], blobs: ["startup", "source", "mobile", "", ""], doubles: [412] },
      { indexes: [id], blobs: ["stall", "", "mobile", "", ""], doubles: [300] },
      { indexes: [id], blobs: ["latency", "720p", "mobile", "", ""], doubles: [1700.5] },
      { indexes: [id], blobs: ["switch", "480p", "mobile", "", "720p"], doubles: [1] },
      { indexes: [id], blobs: ["error", "", "mobile", "", "network"], doubles: [1] },
    ]);
    expect(JSON.stringify(keptRows(id))).not.toMatch(/viewer-0001|Mozilla/);
    expect([get.mock.calls.length, asked()]).toEqual([0, 0]);
  });

  it("may come from any site, also with a preflight", async () => {
    const { id } = await createStream();
    const preflight = await askOnce(`/api/v1/streams/${id}/beacon`, {
      method: "OPTIONS",
      headers: {
        Origin: "https://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("Access-Control-Allow-Origin")).toBe("*");
    expect(preflight.headers.get("Access-Control-Allow-Headers")).toBe("Content-Type");
    const refused = await send(id, "{");
    expect([refused.status, refused.headers.get("Access-Control-Allow-Origin")]).toEqual([400, "*"]);
  });

  it.each([
    ["what is no JSON", "{nope", 400, "invalid_json"],
    ["nobody's", { events: [{ type: "stall", ms: 1 }] }, 400, "invalid_request"],
    ["an empty one", beaconOf(), 400, "invalid_request"],
    ["one of 21 events", beaconOf(...Array.from({ length: 21 }, () => ({ type: "stall", ms: 1 }))), 400, "invalid_request"],
    ["an unknown kind", beaconOf({ type: "hack" }), 400, "invalid_request"],
    ["a negative time", beaconOf({ type: "stall", ms: -1 }), 400, "invalid_request"],
    ["a time without end", '{"viewer":"viewer-0001","events":[{"type":"stall","ms":1e999}]}', 400, "invalid_request"],
    ["a made-up rendition", beaconOf({ type: "stall", ms: 1, rendition: "<script>" }), 400, "invalid_request"],
    ["a long code", beaconOf({ type: "error", code: "x".repeat(65) }), 400, "invalid_request"],
    ["more than 4 KiB", JSON.stringify(beaconOf({ type: "stall", ms: 1 })).padEnd(4097), 413, "body_too_large"],
  ])("is refused: %s", async (_what, body, status, error) => {
    const { id } = await createStream();
    const answer = await send(id, body);
    expect([answer.status, (await answer.json<{ error: string }>()).error]).toEqual([status, error]);
    expect(keptRows(id)).toEqual([]);
  });

  it("is refused for a stream that nobody made", async () => {
    expect((await send("0".repeat(24), beaconOf({ type: "stall", ms: 1 }))).status).toBe(404);
  });

  it("is one of ten a minute for a visitor, and of 300 for an address", async () => {
    const { id } = await createStream();
    const stall = beaconOf({ type: "stall", ms: 1 });
    const from = (address: string, agent: string) => send(id, stall, { "CF-Connecting-IP": address, "User-Agent": agent });
    const statuses = [];
    for (let i = 0; i < 11; i++) statuses.push((await from("203.0.113.7", "one")).status);
    expect(statuses).toEqual([...Array(10).fill(204), 429]);
    expect((await from("203.0.113.8", "one")).status).toBe(204);
    expect((await from("203.0.113.7", "two")).status).toBe(204);
    for (let i = 11; i < 300; i++) await from("203.0.113.7", `agent ${i}`);
    const last = await from("203.0.113.7", "another");
    expect([last.status, (await last.json<{ error: string }>()).error]).toEqual([429, "too_many_beacons"]);
    expect((await from("203.0.113.9", "another")).status).toBe(204);
    expect(keptRows(id)).toHaveLength(302);
  });
});

describe("the sink", () => {
  it("writes to Analytics Engine where it is one, and fails nobody", () => {
    const point = { kind: "leave", stream: "s", device: "tv", country: "DE", seconds: 12.5 } as const;
    const written: unknown[] = [];
    const engine = { writeDataPoint: (row: unknown) => void written.push(row) } as AnalyticsEngineDataset;
    analyticsOf({ ANALYTICS: engine, ANALYTICS_SINK: "engine" }).write(point);
    expect(written).toEqual([{ indexes: ["s"], blobs: ["leave", "", "tv", "DE", ""], doubles: [12.5] }]);
    const broken = {
      writeDataPoint() {
        throw new Error("too many points");
      },
    } as AnalyticsEngineDataset;
    const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
    analyticsOf({ ANALYTICS: broken, ANALYTICS_SINK: "engine" }).write(point);
    expect(log.mock.calls.join()).toContain("too many points");
    log.mockRestore();
    analyticsOf({ ANALYTICS: broken, ANALYTICS_SINK: "memory" }).write(point);
    expect(keptRows("s")).toHaveLength(1);
  });
});

describe("a visitor", () => {
  async function visit(stream: string, address: string | null, agent: string, cf: Partial<IncomingRequestCfProperties> = {}) {
    const headers: Record<string, string> = { "User-Agent": agent };
    if (address !== null) headers["CF-Connecting-IP"] = address;
    return identifyVisitor(env, await proveStreamId(env, stream), new Request(SITE, { headers, cf: cf as IncomingRequestCfProperties }));
  }

  it("is one by address and player, for a stream and a day", async () => {
    const [{ id }, { id: other }] = [await createStream(), await createStream()];
    const first = await visit(id, "203.0.113.7", ANDROID, { country: "NZ" });
    expect(first).toMatchObject({ device: "mobile", country: "NZ", address: expect.stringMatching(/^[0-9a-z]{16}$/) });
    expect(Number.isInteger(first.player) && first.player >= 0 && first.player < 2 ** 52).toBe(true);
    expect(await visit(id, "203.0.113.7", ANDROID, { country: "NZ" })).toEqual(first);
    const onMac = await visit(id, "203.0.113.7", MAC_CHROME);
    expect([onMac.address, onMac.player === first.player, onMac.device, onMac.country]).toEqual([first.address, false, "desktop", null]);
    const elsewhere = await visit(other, "203.0.113.7", ANDROID);
    expect(elsewhere.address).not.toBe(first.address);
    expect(elsewhere.player).not.toBe(first.player);
    const day = 86_400_000;
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + day });
    try {
      const tomorrow = await visit(id, "203.0.113.7", ANDROID);
      expect(tomorrow.address).not.toBe(first.address);
      expect(tomorrow.player).toBe(first.nextPlayer);
      expect(tomorrow.player).not.toBe(first.player);
    } finally {
      vi.useRealTimers();
    }
  });

  it("has no address on loopback, where the user agent tells players apart", async () => {
    const { id } = await createStream();
    const local = await visit(id, null, ANDROID);
    expect(local.address).toBeNull();
    expect(await visit(id, "127.0.0.1", ANDROID)).toEqual(local);
    expect((await visit(id, "::1", MAC_CHROME)).player).not.toBe(local.player);
  });

  it("is the same as the player that its browser hands over to", async () => {
    const { id } = await createStream();
    const stream = await proveStreamId(env, id);
    const playerOf = (agent: string) =>
      identifyPlayer(env, stream, new Request(SITE, { headers: { "User-Agent": agent, "CF-Connecting-IP": "2001:db8::1" } }));
    expect((await visit(id, "2001:db8::2", IPHONE)).player).toBe(await playerOf(IPHONE_PLAYER));
    expect((await visit(id, "2001:db8::2", MAC)).player).toBe(await playerOf(MAC_PLAYER));
    expect(await playerOf(MAC)).toBe(await playerOf(IPAD_PLAYER));
    expect(await playerOf(MAC)).not.toBe(await playerOf(IPHONE));
    expect(await playerOf(MAC)).not.toBe(await playerOf(MAC_CHROME));
  });

  it.each([
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["127.8.9.1", null],
    ["::1", null],
    ["0:0:0:0:0:0:0:1", null],
    ["::ffff:127.0.0.1", null],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:1:2::9", "2001:db8:1:2::/64"],
    ["2001:db8::", "2001:db8:0:0::/64"],
    ["fe80::1:2:3:4:5", "fe80:0:0:1::/64"],
    ["1::2::3", null],
    ["1:2:3", null],
    ["unknown", null],
    [null, null],
  ])("of %s is limited by %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it.each([
    [IPHONE, "mobile"],
    [IPHONE_PLAYER, "mobile"],
    [IPAD_PLAYER, "tablet"],
    [MAC, "desktop"],
    [ANDROID, "mobile"],
    ["Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", "tablet"],
    ["AppleCoreMedia/1.0.0.22L572 (Apple TV; U; CPU OS 18_5 like Mac OS X; en_us)", "tv"],
    ["Mozilla/5.0 (SMART-TV; Linux; Tizen 8.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.1 TV Safari/537.36", "tv"],
    ["Mozilla/5.0 (Linux; Android 9; AFTKA) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36", "tv"],
    ["Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", "desktop"],
    ["Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"],
    ["VLC/3.0.21 LibVLC/3.0.21", "other"],
    ["", "other"],
  ])("with %s is on %s", (agent, device) => {
    expect(deviceOf(agent)).toBe(device);
  });

  it("keeps a user agent that is none of Apple's as it is, up to a length", () => {
    expect(playerAgentOf("VLC/3.0.21 LibVLC/3.0.21")).toBe("VLC/3.0.21 LibVLC/3.0.21");
    expect(playerAgentOf("x".repeat(4000))).toHaveLength(512);
  });
});
