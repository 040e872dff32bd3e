import { describe, expect, it } from "vitest";
import type { StreamStatus } from "../../domain/protocol/events.ts";
import { decidePlayback } from "../../workers/web/pages/watch/playback-order.ts";
import { INITIAL_STATE, reduceWatch, type View, type WatchEvent } from "../../workers/web/pages/watch/state.ts";

const timestamp = "2025-01-01T10:00:00.000Z";
const lifecycle = { stream_id: "s", broadcast: 1, timestamp };

function established(status: StreamStatus, broadcast = 1): WatchEvent {
  const over = status === "completed" || status === "error";
  const times = { started_at: timestamp, ended_at: over ? "2025-01-01T10:02:00.000Z" : null, end_reason: over ? "unpublished" : null };
  return {
    event: "connection_established",
    data: {
      instance: "i",
      stream: { id: "s", title: "Title", status, broadcast, ...times },
      viewer_count: 3,
      peak_viewers: 7,
      viewers: { connected: 3, sockets: 3, pull: 2 },
      qualities: [],
      ping_interval_ms: 1,
      ack_bytes: 1,
    },
  };
}

const started: WatchEvent = { event: "stream_started", data: lifecycle };
const ended: WatchEvent = { event: "stream_ended", data: { ...lifecycle, duration_seconds: 90, peak_viewers: 9, reason: "unpublished" } };
const reconnecting: WatchEvent = { event: "stream_reconnecting", data: { ...lifecycle, reason: "connection_lost", deadline: timestamp } };

function stateAfter(...events: WatchEvent[]) {
  return events.reduce(reduceWatch, INITIAL_STATE);
}

describe("the state of a watch page", () => {
  it.each([
    ["pending", { name: "waiting" }],
    ["active", { name: "live", broadcast: 1 }],
    ["reconnecting", { name: "reconnecting", broadcast: 1 }],
    ["completed", { name: "ended", broadcast: 1, durationSeconds: 120, reason: "unpublished" }],
    ["error", { name: "ended", broadcast: 1, durationSeconds: 120, reason: "unpublished" }],
  ] as const)("shows a stream that is %s when the socket opens", (status, view) => {
    expect(stateAfter(established(status))).toEqual({ view, title: "Title", viewers: 3, pull: 2, peak: 7, health: null, notice: null });
  });

  it("follows a broadcast from its start to its end", () => {
    expect(stateAfter(established("pending", 0), started).view).toEqual({ name: "live", broadcast: 1 });
    expect(stateAfter(started, reconnecting).view).toEqual({ name: "reconnecting", broadcast: 1 });
    expect(stateAfter(started, reconnecting, started).view).toEqual({ name: "live", broadcast: 1 });
    expect(stateAfter(started, ended)).toMatchObject({ peak: 9, view: { name: "ended", durationSeconds: 90, reason: "unpublished" } });
  });

  it("takes the count from the latest frame", () => {
    const counts = { viewer_count: 0, peak_viewers: 8, viewers: { connected: 0, sockets: 0, pull: 5 } };
    const counted: WatchEvent = { event: "viewer_count_changed", data: { stream_id: "s", ...counts, timestamp } };
    expect(stateAfter(established("active"), counted)).toMatchObject({ viewers: 0, pull: 5, peak: 8, view: { name: "live" } });
  });

  it("knows how well the encoder's stream arrives, while it is live", () => {
    const weak: WatchEvent = {
      event: "bitrate_update",
      data: { bitrate_kbps: 300, fps: 12, dropped_frames: 4, health: "poor", health_reasons: [] },
    };
    expect(stateAfter(established("active"), weak).health).toBe("poor");
    for (const after of [reconnecting, ended, established("active")])
      expect(stateAfter(established("active"), weak, after).health).toBeNull();
  });

  it("leaves all as it is on what it does not show", () => {
    const before = stateAfter(established("active"));
    const metadata: WatchEvent = { event: "timed_metadata", data: { at: timestamp, payload: { goal: 1 } } };
    const qualities: WatchEvent = {
      event: "quality_changed",
      data: { stream_id: "s", qualities: ["a"], reason: "input_changed", timestamp },
    };
    for (const event of [metadata, qualities]) expect(reduceWatch(before, event)).toEqual(before);
  });

  it("keeps what it knows of an end when the socket comes back", () => {
    expect(stateAfter(started, ended, established("completed")).view).toMatchObject({ durationSeconds: 90 });
    expect(stateAfter(started, ended, established("completed", 2)).view).toMatchObject({ broadcast: 2, durationSeconds: 120 });
  });

  it("believes the picture only while nobody has said anything", () => {
    expect(stateAfter({ event: "seen_playing" }).view).toEqual({ name: "live", broadcast: null });
    expect(stateAfter(established("completed"), { event: "seen_playing" }).view.name).toBe("ended");
  });

  it("takes an address that plays nothing live for an end, only while nobody has said anything", () => {
    expect(stateAfter({ event: "seen_over" }).view).toMatchObject({ name: "ended", broadcast: 0 });
    expect(stateAfter({ event: "seen_over" }, established("completed", 4)).view).toMatchObject({ name: "ended", broadcast: 4 });
    expect(stateAfter(established("active"), { event: "seen_over" }).view.name).toBe("live");
  });

  it("tells a viewer without a token from one whose token is not valid", () => {
    expect(stateAfter({ event: "denied", hasToken: false }).view).toEqual({ name: "denied", hasToken: false });
    expect(stateAfter(established("active"), { event: "denied", hasToken: true }).view).toEqual({ name: "denied", hasToken: true });
  });

  it("shows the server's complaint until the next connection", () => {
    const complaint: WatchEvent = { event: "error", data: { code: "busy", message: "Too many viewers", recoverable: true } };
    expect(stateAfter(established("active"), complaint).notice).toBe("Too many viewers");
    expect(stateAfter(complaint, established("active")).notice).toBeNull();
  });
});

describe("what the player is told", () => {
  const connecting: View = { name: "connecting" };
  const waiting: View = { name: "waiting" };
  const live = (broadcast: number | null): View => ({ name: "live", broadcast });
  const away = (broadcast: number): View => ({ name: "reconnecting", broadcast });
  const over: View = { name: "ended", broadcast: 1, durationSeconds: 1, reason: null };

  it.each([
    ["goes on with what it started before anything was known", connecting, live(1), "resume"],
    ["goes on when a number comes to a broadcast that was seen playing", live(null), live(4), "resume"],
    ["loads when a stream that never was live begins", waiting, live(1), "load"],
    ["loads a new broadcast after an end", over, live(2), "load"],
    ["loads a new broadcast whose start it missed", live(1), live(2), "load"],
    ["holds while the encoder is away", live(1), away(1), "hold"],
    ["plays the rest of the window for who comes meanwhile", connecting, away(1), "hold"],
    ["resumes the same broadcast", away(1), live(1), "resume"],
    ["plays out at the end", live(1), over, "drain"],
    ["plays out when the encoder does not come back", away(1), over, "drain"],
    ["plays nothing of a stream that was over before", connecting, over, "stop"],
    ["stops what it tried where the stream never was live", connecting, waiting, "stop"],
    ["stops where there is no such stream", connecting, { name: "not-found" } as View, "stop"],
    ["stops where this viewer may not watch", live(1), { name: "denied", hasToken: true } as View, "stop"],
    ["goes live when what seemed over is not", over, live(1), "load"],
    ["leaves an end alone", over, { ...over }, "none"],
  ] as const)("%s", (_name, before, then, order) => {
    expect(decidePlayback(before, then)).toBe(order);
  });

  it("hears nothing where the view did not change", () => {
    const view = live(1);
    expect(decidePlayback(view, view)).toBe("none");
  });
});
