import { z } from "zod";

/**
 * The WebSocket of a stream, `GET /api/v1/streams/{stream}/ws?viewer={id}`: text frames, JSON `{event, seq, data}`.
 * `seq` rises by one within an `instance`. A client sends the text `ping` at least every `ping_interval_ms` and gets `pong`.
 */

/** A stream's status, as the API and the events name it. */
export const StreamStatus = z.enum(["pending", "active", "reconnecting", "completed", "error"]);
export type StreamStatus = z.infer<typeof StreamStatus>;

/** What a viewer's `viewer` query parameter may look like; made by the client, once per tab. */
export const ViewerId = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/);

const count = z.number().int().nonnegative();
const timestamp = z.iso.datetime();
const streamId = z.string();

const lifecycle = { stream_id: streamId, broadcast: count, timestamp };

const eventData = {
  connection_established: z.object({
    instance: z.string(),
    stream: z.object({
      id: streamId,
      title: z.string(),
      status: StreamStatus,
      broadcast: count,
      started_at: timestamp.nullable(),
      ended_at: timestamp.nullable(),
      end_reason: z.string().nullable(),
    }),
    viewer_count: count,
    peak_viewers: count,
    /** Names of the video renditions that can be chosen. */
    qualities: z.array(z.string()),
    ping_interval_ms: count,
  }),
  viewer_count_changed: z.object({ stream_id: streamId, viewer_count: count, peak_viewers: count, timestamp }),
  stream_started: z.object(lifecycle),
  stream_reconnecting: z.object({
    ...lifecycle,
    reason: z.string(),
    /** The broadcast completes then, if no encoder comes back. */ deadline: timestamp,
  }),
  stream_ended: z.object({ ...lifecycle, duration_seconds: z.number().nonnegative(), peak_viewers: count, reason: z.string() }),
  error: z.object({ code: z.string(), message: z.string(), recoverable: z.boolean() }),
} as const;

function frame<Name extends keyof typeof eventData>(event: Name) {
  return z.object({ event: z.literal(event), seq: count, data: eventData[event] });
}

/** Any frame that the server sends. */
export const ServerFrame = z.discriminatedUnion("event", [
  frame("connection_established"),
  frame("viewer_count_changed"),
  frame("stream_started"),
  frame("stream_reconnecting"),
  frame("stream_ended"),
  frame("error"),
]);
export type ServerFrame = z.infer<typeof ServerFrame>;

type Unnumbered<Frame> = Frame extends { seq: number } ? Omit<Frame, "seq"> : never;
/** A frame before its socket's instance numbers it. */
export type ServerEvent = Unnumbered<ServerFrame>;

/** What a client may send besides `ping`, at most every 10 s. */
export const ClientFrame = z.object({
  type: z.literal("playback"),
  rendition: z.string().max(16),
  buffered_ms: z.number().nonnegative(),
  latency_ms: z.number().nonnegative().nullable(),
  stalls: count,
});

/** How often a client pings. */
export const PING_INTERVAL_MS = 25_000;

/** Why the server closes a socket. */
export const CloseCode = {
  /** A binary frame. */
  unsupported: 1003,
  /** Text that is not JSON of a known shape. */
  invalid: 1007,
  /** More than 10 messages in 10 s. */
  rate: 1008,
  /** A frame over 4 KiB. */
  tooBig: 1009,
  /** A newer socket of the same viewer took its place: don't reconnect. */
  replaced: 4001,
  /** No ping for 65 s. */
  silent: 4002,
} as const;
