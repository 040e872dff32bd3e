import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Analytics } from "../../domain/protocol/api/analytics.ts";
import { Metrics } from "../../domain/protocol/api/metrics.ts";
import { Heartbeat } from "../../domain/protocol/origin-link.ts";
import { join, joinMany } from "./audience.ts";
import { ask, askApi, createStream, liveStreamOf, OriginCalls } from "./edge.ts";

const HEARTBEAT: Heartbeat = Heartbeat.parse({
  ...{ fps: 30, bitrate_kbps: 1000, dropped_frames: 0, keyframe_interval: 2, speed: 1, warnings: [] },
});
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

afterEach(() => {
  vi.useRealTimers();
});

/** A live broadcast, by a clock that stands still. */
async function goLive(stream: { stream_key: string }, at: number): Promise<OriginCalls> {
  setClock(at);
  const origin = await OriginCalls.publish(stream.stream_key);
  await origin.begin();
  return origin;
}

function setClock(at: number): void {
  vi.useFakeTimers({ toFake: ["Date"], now: at });
}

/** One heartbeat a second, from a moment on. */
async function beat(origin: OriginCalls, from: number, seconds: number, named: (index: number) => Partial<Heartbeat> = () => ({})) {
  for (let index = 0; index < seconds; index++) {
    setClock(from + index * 1000);
    const answer = await origin.call("POST", "/heartbeat", { ...HEARTBEAT, ...named(index) });
    if (answer.status !== 200) throw new Error(`heartbeat ${index}: ${answer.status} ${await answer.text()}`);
    await answer.body?.cancel();
  }
}

async function metricsOf(id: string, query = ""): Promise<Metrics> {
  const answer = await askApi("GET", `/api/v1/streams/${id}/metrics${query}`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("Cache-Control")).toBe("no-store");
  return Metrics.parse(await answer.json());
}

async function analyticsOf(id: string, query = ""): Promise<Analytics> {
  const answer = await askApi("GET", `/api/v1/streams/${id}/analytics${query}`);
  expect(answer.status).toBe(200);
  return Analytics.parse(await answer.json());
}

function rangeOf(from: number, until: number, step: number): string {
  return `?since=${new Date(from).toISOString()}&until=${new Date(until).toISOString()}&step=${step}`;
}

/** Rows of the object's tables of figures. */
function rowsOf(id: string): Promise<Record<"metric_seconds" | "metric_hours" | "broadcasts", number[]>> {
  return runInDurableObject(liveStreamOf(id), (_instance, { storage: { sql } }) => {
    const keys = (table: string, key = "at") => sql.exec<{ key: number }>(`SELECT ${key} AS key FROM ${table} ORDER BY key`).toArray();
    const numbers = (rows: { key: number }[]) => rows.map(({ key }) => key);
    return {
      metric_seconds: numbers(keys("metric_seconds")),
      metric_hours: numbers(keys("metric_hours")),
      broadcasts: numbers(keys("broadcasts", "number")),
    };
  });
}

/** The begin of an hour a while ago. */
function anHour(): number {
  const now = Date.now();
  return now - (now % HOUR) - HOUR;
}

describe("a live broadcast", () => {
  it("has a sample each second, ten of them in a row, and the newest at once", async () => {
    const stream = await createStream();
    const start = anHour();
    const origin = await goLive(stream, start);
    const { id } = stream;
    await beat(origin, start, 25, (index) => ({ bitrate_kbps: 1000 + index, dropped_frames: index, fps: 30 - (index % 2) }));
    expect((await rowsOf(id)).metric_seconds).toEqual([start / 1000, start / 1000 + 10]);
    const { points, step } = await metricsOf(id, rangeOf(start, start + 25_000, 1));
    expect(step).toBe(1);
    expect(points.map(({ at }) => Date.parse(at))).toEqual(Array.from({ length: 25 }, (_, index) => start + index * 1000));
    expect(points[24]).toMatchObject({ seconds: 1, ingress_kbps: 1024, fps: 30, dropped_frames: 1, keyframe_interval: 2, errors: 0 });
    const [first, second, last] = (await metricsOf(id, rangeOf(start, start + 30_000, 10))).points;
    expect(first).toMatchObject({ seconds: 10, ingress_kbps: 1004.5, ingress_kbps_max: 1009, dropped_frames: 9, fps_min: 29 });
    expect(second).toMatchObject({ seconds: 10, dropped_frames: 10, health_seconds: { good: 0, fair: 10, poor: 0 } });
    expect(last).toMatchObject({ seconds: 5 });
    // Without anything asked for: the last hour, five seconds a point.
    const usual = await metricsOf(id);
    expect([usual.step, usual.points.length]).toEqual([5, 5]);
  });

  it("writes a row for ten seconds, one for the hour's minutes and one for the broadcast each minute, and no others", async () => {
    const stream = await createStream();
    const start = anHour();
    const origin = await goLive(stream, start);
    await beat(origin, start, 125);
    const rows = await rowsOf(stream.id);
    expect(rows.metric_seconds.length).toBe(12);
    expect(rows.metric_hours).toEqual([start / 1000]);
    expect(rows.broadcasts).toEqual([1]);
    const stored = await runInDurableObject(liveStreamOf(stream.id), (_instance, { storage: { sql } }) =>
      JSON.parse(sql.exec<{ minutes: string }>("SELECT minutes FROM metric_hours").one().minutes),
    );
    expect(Object.keys(stored)).toEqual(["0", "1"]);
    const { points } = await metricsOf(stream.id, rangeOf(start, start + 180_000, 60));
    expect(points.map(({ seconds }) => seconds)).toEqual([60, 60, 5]);
    const hours = await metricsOf(stream.id, rangeOf(start - DAY, start + HOUR, 3600));
    expect(hours.points.map(({ at, seconds }) => [Date.parse(at), seconds])).toEqual([[start, 125]]);
  });

  it("loses ten seconds at most to an eviction, counts nothing twice, and goes on", async () => {
    const stream = await createStream();
    const start = anHour();
    const origin = await goLive(stream, start);
    const { id } = stream;
    await beat(origin, start, 75, (index) => ({ dropped_frames: index }));
    await evictDurableObject(liveStreamOf(id));
    expect((await metricsOf(id, rangeOf(start, start + HOUR, 60))).points.map(({ seconds }) => seconds)).toEqual([60, 10]);
    await beat(origin, start + 75_000, 55, (index) => ({ dropped_frames: 75 + index }));
    const { points } = await metricsOf(id, rangeOf(start, start + HOUR, 60));
    // The five seconds before the eviction, and what was dropped between the last heartbeat before it and the first after.
    expect(points.map(({ seconds, dropped_frames }) => [seconds, dropped_frames])).toEqual([
      [60, 59],
      [55, 60 - 5 - 1],
      [10, 10],
    ]);
    expect((await analyticsOf(id)).totals).toMatchObject({ live_seconds: 125, dropped_frames: 123 });
  });

  it("tells who watches, what they play, how they stall, and about what goes out to them", async () => {
    const stream = await createStream();
    const start = anHour();
    const origin = await goLive(stream, start);
    const { id } = stream;
    await origin.pushSegments(1, 2);
    const [one, two] = [await join(id, "viewer-0001"), await join(id, "viewer-0002")];
    await beat(origin, start, 1);
    setClock(start + 12_000);
    one.socket.send(JSON.stringify({ type: "playback", rendition: "source", buffered_ms: 900, latency_ms: 1800, stalls: 3 }));
    two.socket.send(JSON.stringify({ type: "playback", rendition: "nonsense", buffered_ms: 900, latency_ms: 1800, stalls: 0 }));
    await expect
      .poll(async () => (await liveStreamOf(id).viewerSessions({ cursor: null, limit: 10 })) as unknown)
      .toMatchObject({ value: { sessions: [{ rendition: "nonsense" }, { rendition: "source" }] } });
    await beat(origin, start + 12_000, 2);
    const { points } = await metricsOf(id, rangeOf(start, start + 20_000, 1));
    expect(points[0]).toMatchObject({ viewers: 2, joins: 2, stalls: 0, renditions: {} });
    expect(points[1]).toMatchObject({ viewers: 2, joins: 0, stalls: 3, renditions: { source: 1 } });
    expect(points[2]).toMatchObject({ viewers: 2, stalls: 0, renditions: { source: 1 } });
    // Segments of 2 s and 256 bytes, in two renditions, to two viewers; a sample has whole kbit/s.
    expect(points[2]?.egress_kbps).toBe(Math.round((256 * 8 * 2 * 2) / 2 / 1000));
  });
});

describe("an audience over several objects", () => {
  it("is in the figures as a whole", async () => {
    const { id, stream_key } = await createStream();
    const origin = await OriginCalls.publish(stream_key);
    await origin.begin();
    await (await origin.heartbeat()).body?.cancel();
    const viewers = await joinMany(id, 30);
    await expect.poll(async () => (await liveStreamOf(id).facts()).viewers.connected, { timeout: 5000 }).toBe(30);
    const frame = { type: "playback", rendition: "source", buffered_ms: 900, latency_ms: 1800, stalls: 1 };
    for (const viewer of viewers) viewer.socket.send(JSON.stringify(frame));
    const figures = async () => {
      // A shard tells with its next report, which it is asked for here.
      for (let member = 0; member < 4; member++) {
        await env.SHARDS.get(env.SHARDS.idFromName(`${id}/${member}`)).census({ stream: id, member });
      }
      await (await origin.heartbeat()).body?.cancel();
      const { totals } = await analyticsOf(id);
      const { points } = await metricsOf(id, `?since=${new Date(Date.now() - 60_000).toISOString()}&step=1`);
      return {
        viewers: points.at(-1)?.viewers,
        playing: points.at(-1)?.renditions.source,
        stalls: totals?.stalls,
        sessions: totals?.sessions,
      };
    };
    await expect.poll(figures, { timeout: 10_000, interval: 500 }).toEqual({ viewers: 30, playing: 30, stalls: 30, sessions: 30 });
  });
});

describe("the end of a broadcast", () => {
  it("writes down what memory holds, and a summary that stays", async () => {
    const stream = await createStream({ reconnect_window_seconds: 0 });
    const start = anHour();
    const origin = await goLive(stream, start);
    const { id } = stream;
    await beat(origin, start, 63, () => ({ keyframe_interval: 8.3 }));
    expect(await analyticsOf(id)).toMatchObject({ broadcast: 1, status: "active", ended_at: null, totals: { live_seconds: 63 } });
    await origin.end("unpublished");
    await evictDurableObject(liveStreamOf(id));
    expect((await metricsOf(id, rangeOf(start, start + 70_000, 1))).points.length).toBe(63);
    expect((await metricsOf(id, rangeOf(start, start + HOUR, 60))).points.map(({ seconds }) => seconds)).toEqual([60, 3]);
    const answer = await analyticsOf(id);
    expect(answer).toMatchObject({
      ...{ broadcast: 1, status: "completed", end_reason: "unpublished", started_at: new Date(start).toISOString() },
      health: { grade: "good", reasons: [{ code: "keyframe_interval_long", severity: "warning" }] },
      totals: { live_seconds: 63, duration_seconds: 62, ingress_bytes: 63 * 125_000 },
      averages: { ingress_kbps: 1000, keyframe_interval: 8.3 },
      recommendations: [{ code: "keyframe_interval_long", message: expect.stringContaining("8.3 s") }],
    });
  });

  it("is followed by a broadcast with figures of its own, which are compared", async () => {
    const stream = await createStream({ reconnect_window_seconds: 0 });
    const start = anHour();
    const { id } = stream;
    const first = await goLive(stream, start);
    await beat(first, start, 20, () => ({ speed: 0.5 }));
    await first.end("unpublished");
    const second = await goLive(stream, start + 20_000);
    await beat(second, start + 20_000, 30, (index) => ({ dropped_frames: index * 3, bitrate_kbps: index < 5 ? 200 : 1000 }));
    const answer = await analyticsOf(id);
    expect(answer).toMatchObject({ broadcast: 2, totals: { live_seconds: 30, dropped_frames: 87 } });
    // The first seconds of a connection say nothing of how steady it is.
    expect(answer.averages?.ingress_variation).toBe(0);
    expect(answer.trends).toMatchObject({ compared_with: [1], duration_seconds: { value: 29, before: 19 } });
    expect(await analyticsOf(id, "?broadcast=1")).toMatchObject({
      broadcast: 1,
      status: "completed",
      totals: { live_seconds: 20, dropped_frames: 0 },
    });
    // A minute that both have a part of.
    expect((await metricsOf(id, rangeOf(start, start + 60_000, 60))).points).toMatchObject([{ seconds: 50, speed: 0.8 }]);
    await second.end("unpublished");
    expect((await metricsOf(id, rangeOf(start, start + 60_000, 60))).points).toMatchObject([{ seconds: 50 }]);
  });

  it("by a fault is said so; a lost connection is an error, and one that comes back is counted", async () => {
    const stream = await createStream();
    const start = anHour();
    const { id } = stream;
    const first = await goLive(stream, start);
    await beat(first, start, 5);
    await first.end("connection_lost");
    const second = await goLive(stream, start + 10_000);
    await beat(second, start + 10_000, 5, (index) => ({
      dropped_frames: 7,
      warnings: index > 2 ? ["the remuxer failed and was started again"] : [],
    }));
    await second.call("POST", "/end", { reason: "unsupported_input", message: "H.265 cannot be played" });
    const { points } = await metricsOf(id, rangeOf(start, start + 20_000, 1));
    expect(points.map(({ errors }) => errors)).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 1, 1]);
    const answer = await analyticsOf(id);
    expect(answer).toMatchObject({ status: "error", totals: { reconnects: 1, errors: 3, dropped_frames: 7, live_seconds: 10 } });
    expect(answer.health?.reasons.map(({ code }) => code)).toEqual(["broadcast_failed", "dropped_frames", "reconnects", "origin_warning"]);
  });

  it("before it ever was live has its reason, too", async () => {
    const stream = await createStream();
    const origin = await OriginCalls.publish(stream.stream_key);
    await origin.call("POST", "/end", { reason: "unsupported_input", message: "no H.264" });
    expect(await analyticsOf(stream.id)).toMatchObject({ broadcast: 1, status: "error", end_reason: "no H.264", averages: null });
  });
});

describe("what is kept", () => {
  it("is seconds for 24 hours and minutes for 30 days, and the summary for ever", async () => {
    const stream = await createStream({ reconnect_window_seconds: 0 });
    const start = anHour();
    const { id } = stream;
    const origin = await goLive(stream, start);
    await beat(origin, start, 65);
    await origin.end("unpublished");
    const object = liveStreamOf(id);
    await vi.waitFor(async () => {
      setClock(start + DAY + 30_000);
      await runDurableObjectAlarm(object);
      // Others go by the hour.
      expect((await rowsOf(id)).metric_seconds.length).toBe(7);
    });
    setClock(start + DAY + HOUR + 60_000);
    expect(await runDurableObjectAlarm(object)).toBe(true);
    expect(await rowsOf(id)).toEqual({ metric_seconds: [], metric_hours: [start / 1000], broadcasts: [1] });
    const { step, points } = await metricsOf(id, rangeOf(start, start + HOUR, 1));
    expect([step, points.map(({ seconds }) => seconds)]).toEqual([60, [60, 5]]);
    expect((await metricsOf(id, rangeOf(start, start + HOUR, 3600))).points).toMatchObject([{ seconds: 65, fps: 30 }]);
    setClock(start + 31 * DAY + HOUR);
    expect(await runDurableObjectAlarm(object)).toBe(true);
    expect(await rowsOf(id)).toEqual({ metric_seconds: [], metric_hours: [], broadcasts: [1] });
    expect(await analyticsOf(id)).toMatchObject({ broadcast: 1, totals: { live_seconds: 65 } });
  });
});

describe("the API", () => {
  it("answers for a stream that was never live", async () => {
    const { id } = await createStream();
    expect((await metricsOf(id)).points).toEqual([]);
    expect(await analyticsOf(id)).toMatchObject({ broadcast: null, health: null, totals: null, quality: [], trends: null });
  });

  it.each([
    ["metrics?since=yesterday", "since"],
    ["metrics?step=0", "step"],
    ["metrics?step=1.5", "step"],
    ["metrics?step=90000", "step"],
    ["metrics?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "since"],
    ["metrics?since=2026-01-01T00:00:00Z&until=2026-02-02T00:00:00Z", "since"],
    ["metrics?since=2100-01-01T00:00:00Z", "since"],
    ["analytics?broadcast=0", "broadcast"],
    ["analytics?broadcast=one", "broadcast"],
  ])("refuses %s, naming the field", async (query, field) => {
    const { id } = await createStream();
    const answer = await askApi("GET", `/api/v1/streams/${id}/${query}`);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: "invalid_request", details: [{ field }] });
  });

  it("knows no broadcast that never was, no stream that is not there, and nobody without a key", async () => {
    const { id } = await createStream();
    const missing = await askApi("GET", `/api/v1/streams/${id}/analytics?broadcast=1`);
    expect([missing.status, ((await missing.json()) as { error: string }).error]).toEqual([404, "broadcast_not_found"]);
    for (const path of ["metrics", "analytics"]) {
      expect((await askApi("GET", `/api/v1/streams/000000000000000000000000/${path}`)).status).toBe(404);
      expect((await ask(`/api/v1/streams/${id}/${path}`)).status).toBe(401);
    }
  });
});
