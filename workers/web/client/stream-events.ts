/** Anything that JSON can say. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [name: string]: JsonValue };

/** Who watches, and how many at most did in this broadcast. */
export interface ViewerCounts {
  /** What to show: those with an open socket, and those whom a restart of the server has cut off moments ago. */
  viewer_count: number;
  peak_viewers: number;
  /** `connected` have an open socket now; `sockets` is `viewer_count`; `pull` are players without a socket. */
  viewers: { connected: number; sockets: number; pull: number };
}

/** Times are ISO 8601 in UTC. */
export interface Lifecycle {
  stream_id: string;
  /** Counts up with each broadcast of the stream. */
  broadcast: number;
  timestamp: string;
}

/** What each event carries. */
export interface StreamEventData {
  /** The first frame of every socket: all that a page needs to begin with. */
  connection_established: {
    /** Events are numbered within it. */
    instance: string;
    stream: {
      id: string;
      title: string;
      status: "pending" | "active" | "reconnecting" | "completed" | "error";
      broadcast: number;
      started_at: string | null;
      ended_at: string | null;
      end_reason: string | null;
    };
    /** Names of the video renditions that can be chosen. */
    qualities: string[];
    ping_interval_ms: number;
    ack_bytes: number;
  } & ViewerCounts;
  viewer_count_changed: { stream_id: string; timestamp: string } & ViewerCounts;
  stream_started: Lifecycle;
  /** The encoder is away; the broadcast completes at `deadline` if none comes back. */
  stream_reconnecting: Lifecycle & { reason: string; deadline: string };
  stream_ended: Lifecycle & { duration_seconds: number; peak_viewers: number; reason: string };
  /** The stream is called something else now. */
  stream_updated: { stream_id: string; title: string; timestamp: string };
  quality_changed: { stream_id: string; qualities: string[]; reason: string; timestamp: string };
  /** Every 5 s of a live broadcast. */
  bitrate_update: { bitrate_kbps: number; fps: number; dropped_frames: number; health: "good" | "fair" | "poor"; health_reasons: string[] };
  /** What the broadcaster sends along; `at` is the program date time that it belongs to. */
  timed_metadata: { at: string; payload: JsonValue };
  /** The events `from` to `to` were missed and cannot be had. */
  gap: { from: number; to: number };
  error: { code: string; message: string; recoverable: boolean };
}

/** Any frame that the server sends. */
export type StreamFrame = {
  [Event in keyof StreamEventData]: { event: Event; seq: number; data: StreamEventData[Event] };
}[keyof StreamEventData];
