import type { Health, ServerFrame } from "../../../../domain/protocol/events.ts";

/** What the stream does, as far as this page knows. A `broadcast` of null: seen playing, not yet told its number. */
export type View =
  | { name: "connecting" }
  | { name: "waiting" }
  | { name: "live"; broadcast: number | null }
  | { name: "reconnecting"; broadcast: number }
  | { name: "ended"; broadcast: number; durationSeconds: number | null; reason: string | null }
  | { name: "not-found" }
  /** Only for viewers with a token: this page has none, or one that is not valid (any more). */
  | { name: "denied"; hasToken: boolean };

/** All that a watch page shows about its stream. */
export interface WatchState {
  view: View;
  title: string | null;
  viewers: number;
  /** Players beside them that have no socket. */
  pull: number;
  peak: number;
  /** How well the encoder's stream arrives; null where nothing is live, or nobody has said. */
  health: Health | null;
  /** The server's last complaint, in words; null where all is well. */
  notice: string | null;
}

/** A stream as the socket greets with it. */
type GreetedStream = (ServerFrame & { event: "connection_established" })["data"]["stream"];

type Counts = Pick<(ServerFrame & { event: "viewer_count_changed" })["data"], "viewer_count" | "peak_viewers" | "viewers">;

/** A server frame, or what the page finds out by itself. */
export type WatchEvent =
  | Pick<ServerFrame & { event: "connection_established" }, "event" | "data">
  | Pick<ServerFrame & { event: "viewer_count_changed" }, "event" | "data">
  | Pick<ServerFrame & { event: "stream_started" }, "event" | "data">
  | Pick<ServerFrame & { event: "stream_reconnecting" }, "event" | "data">
  | Pick<ServerFrame & { event: "stream_ended" }, "event" | "data">
  | Pick<ServerFrame & { event: "stream_updated" }, "event" | "data">
  | Pick<ServerFrame & { event: "quality_changed" }, "event" | "data">
  | Pick<ServerFrame & { event: "bitrate_update" }, "event" | "data">
  | Pick<ServerFrame & { event: "timed_metadata" }, "event" | "data">
  | Pick<ServerFrame & { event: "error" }, "event" | "data">
  | { event: "not_found" }
  | { event: "denied"; hasToken: boolean }
  /** The stream's address plays nothing live, though no socket has said anything. */
  | { event: "seen_over" }
  /** The video plays though no socket has said anything. */
  | { event: "seen_playing" };

/** Before anything is known. */
export const INITIAL_STATE: WatchState = {
  view: { name: "connecting" },
  title: null,
  viewers: 0,
  pull: 0,
  peak: 0,
  health: null,
  notice: null,
};

/** The state after `event`. */
export function reduceWatch(state: WatchState, event: WatchEvent): WatchState {
  switch (event.event) {
    case "connection_established": {
      const { stream } = event.data;
      return { view: viewOf(stream, state.view), title: stream.title, ...countsOf(event.data), health: null, notice: null };
    }
    case "viewer_count_changed":
      return { ...state, ...countsOf(event.data) };
    case "stream_started":
      return { ...state, view: { name: "live", broadcast: event.data.broadcast }, health: null };
    case "stream_reconnecting":
      return { ...state, view: { name: "reconnecting", broadcast: event.data.broadcast }, health: null };
    case "stream_ended": {
      const { broadcast, duration_seconds, reason, peak_viewers } = event.data;
      return { ...state, peak: peak_viewers, view: { name: "ended", broadcast, durationSeconds: duration_seconds, reason }, health: null };
    }
    case "bitrate_update":
      return { ...state, health: event.data.health };
    case "stream_updated":
      return { ...state, title: event.data.title };
    case "quality_changed":
    case "timed_metadata":
      return state;
    case "error":
      return { ...state, notice: event.data.message };
    case "not_found":
      return { ...state, view: { name: "not-found" } };
    case "denied":
      return { ...state, view: { name: "denied", hasToken: event.hasToken } };
    case "seen_over":
      if (state.view.name !== "connecting") return state;
      return { ...state, view: { name: "ended", broadcast: 0, durationSeconds: null, reason: null } };
    case "seen_playing":
      return state.view.name === "connecting" ? { ...state, view: { name: "live", broadcast: null } } : state;
  }
}

function countsOf({ viewer_count, peak_viewers, viewers }: Counts): Pick<WatchState, "viewers" | "pull" | "peak"> {
  // While a new version is rolled out a socket may still lead to one that does not say.
  const pull = (viewers as Counts["viewers"] | undefined)?.pull ?? 0;
  return { viewers: viewer_count, pull, peak: peak_viewers };
}

function viewOf(stream: GreetedStream, before: View): View {
  const { broadcast } = stream;
  switch (stream.status) {
    case "pending":
      return { name: "waiting" };
    case "active":
      return { name: "live", broadcast };
    case "reconnecting":
      return { name: "reconnecting", broadcast };
    case "completed":
    case "error":
      if (before.name === "ended" && before.broadcast === broadcast) return before;
      return { name: "ended", broadcast, durationSeconds: durationOf(stream), reason: stream.end_reason };
  }
}

function durationOf({ started_at, ended_at }: GreetedStream): number | null {
  if (started_at === null || ended_at === null) return null;
  return Math.max(0, (Date.parse(ended_at) - Date.parse(started_at)) / 1000);
}
