import { z } from "zod";
import { anyJson } from "./json-value.ts";

/**
 * The WebSocket of a stream, `GET /api/v1/streams/{stream}/ws?viewer={id}[&resume={instance}.{seq}]`: text frames, JSON `{event, seq, data}`.
 *
 * Events are numbered: `seq` rises by one within an `instance`, and everybody sees the same ones. Three frames are for one socket only
 * and carry the number of the event that they follow: `connection_established`, `gap` and `error`. A client sends the text `ping` at least
 * every `ping_interval_ms` and gets `pong`; it acknowledges what it has read each `ack_bytes` (docs/websocket.md).
 */

/** A stream's status, as the API and the events name it. */
export const StreamStatus = z.enum(["pending", "active", "reconnecting", "completed", "error"]).meta({ id: "StreamStatus" });
export type StreamStatus = z.infer<typeof StreamStatus>;

/** What a viewer's `viewer` query parameter may look like; made by the client, once per tab. */
export const ViewerId = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/);

const count = z.number().int().nonnegative();
const timestamp = z.iso.datetime();
const streamId = z.string();

/** Who watches. */
export const Viewers = z
  .object({
    connected: count.meta({ description: "Distinct viewers whose socket is open and answers" }),
    sockets: count.meta({
      description: "`connected`, and those who lost their socket to a restart of ours less than 20 s ago: the `viewer_count`",
    }),
    pull: count.meta({
      description: "Players without a socket, by their playlist requests of the last half minute; an estimate where they are very many",
    }),
  })
  .meta({ id: "Viewers" });
export type Viewers = z.infer<typeof Viewers>;

/** How well the encoder's stream arrives. */
export const Health = z.enum(["good", "fair", "poor"]);
export type Health = z.infer<typeof Health>;

const counts = { viewer_count: count, peak_viewers: count, viewers: Viewers };
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
    ...counts,
    qualities: z.array(z.string()).meta({ description: "Names of the video renditions that can be chosen" }),
    ping_interval_ms: count.meta({ description: "How often a client pings at least" }),
    ack_bytes: count.meta({
      description: "After how many bytes of frames a client is to acknowledge; with four times as many unacknowledged it is dropped",
    }),
  }),
  viewer_count_changed: z.object({ stream_id: streamId, ...counts, timestamp }),
  stream_started: z.object(lifecycle),
  stream_reconnecting: z.object({
    ...lifecycle,
    reason: z.string(),
    deadline: timestamp.meta({ description: "The broadcast completes then, if no encoder comes back" }),
  }),
  stream_ended: z.object({ ...lifecycle, duration_seconds: z.number().nonnegative(), peak_viewers: count, reason: z.string() }),
  /** The broadcaster has changed what the stream is called. */
  stream_updated: z.object({ stream_id: streamId, title: z.string(), timestamp }),
  quality_changed: z.object({ stream_id: streamId, qualities: z.array(z.string()), reason: z.string(), timestamp }),
  /** Every 5 s of a live broadcast. */
  bitrate_update: z.object({
    bitrate_kbps: z.number().nonnegative(),
    fps: z.number().nonnegative(),
    dropped_frames: count,
    health: Health,
    health_reasons: z
      .array(z.string())
      .meta({ description: "What keeps it from being good, in words for the broadcaster; empty where it is" }),
  }),
  /** What the broadcaster sends along. */
  timed_metadata: z.object({
    at: timestamp.meta({ description: "The moment of the picture that it belongs to, as `EXT-X-PROGRAM-DATE-TIME` counts" }),
    payload: anyJson().meta({ description: "Any JSON" }),
  }),
  /** What a resuming client missed and cannot have; the next event is `to` + 1. */
  gap: z.object({ from: count, to: count }),
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
  frame("stream_updated"),
  frame("quality_changed"),
  frame("bitrate_update"),
  frame("timed_metadata"),
  frame("gap"),
  frame("error"),
]);
export type ServerFrame = z.infer<typeof ServerFrame>;

type Unnumbered<Frame> = Frame extends { seq: number } ? Omit<Frame, "seq"> : never;
/** A frame before its socket's instance numbers it. */
export type ServerEvent = Unnumbered<ServerFrame>;
/** The frames that are for one socket only. */
export type PersonalEvent = Extract<ServerEvent, { event: "connection_established" | "gap" | "error" }>;
/** The events that everybody is told, each with a number of its own. */
export type SharedEvent = Exclude<ServerEvent, PersonalEvent>;

/** Where a client left off: `{instance}.{seq}`. */
export const ResumePoint = z
  .string()
  .regex(/^[0-9a-f-]{36}\.\d{1,15}$/)
  .transform((text) => ({ instance: text.slice(0, 36), seq: Number(text.slice(37)) }));
export type ResumePoint = z.output<typeof ResumePoint>;

/** Query of the socket's address, but for the token. */
export const SocketQuery = z.object({
  viewer: ViewerId.meta({
    description: "Random, made by the client: one for each page or app, kept while it is open. Two sockets with one id are one viewer",
    example: "3f9c2b7d8e1a4c60",
  }),
  resume: ResumePoint.optional().meta({
    description: "Where the client left off, `{instance}.{seq}`: what was missed comes again",
    example: "7d3c3a54-4d4f-4a52-9d0e-0d0f3f0c8f11.41",
  }),
});

/** What a player does, told at most every 10 s; more often is not heard. */
export const PlaybackFrame = z.object({
  type: z.literal("playback"),
  rendition: z.string().max(16),
  buffered_ms: z.number().nonnegative(),
  latency_ms: z.number().nonnegative().nullable().meta({ description: "Null where nothing is live" }),
  stalls: count.meta({ description: "Since the page was opened" }),
  switches: count.default(0).meta({ description: "Changes of the rendition since the page was opened" }),
});
export type PlaybackFrame = z.infer<typeof PlaybackFrame>;

/** The client has read everything up to the event `seq`. */
export const AckFrame = z.object({ type: z.literal("ack"), seq: count });

/** What a client may send besides `ping`: at most 10 messages in 10 s. */
export const ClientFrame = z.discriminatedUnion("type", [PlaybackFrame, AckFrame]);
export type ClientFrame = z.infer<typeof ClientFrame>;

/** How often a client pings. */
export const PING_INTERVAL_MS = 25_000;
/** How many bytes of frames a client reads between two acknowledgements. */
export const ACK_BYTES = 16_384;
/** A client with so many bytes unacknowledged does not read: it is dropped. */
export const MAX_UNACKNOWLEDGED_BYTES = 65_536;
/** How long what was said can be had again. */
export const REPLAY_MS = 120_000;

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
  /** 64 KiB unacknowledged: reconnect with `resume`. */
  slow: 4003,
  /** Another socket of the same viewer was opened elsewhere in the same moment: whoever still wants one reconnects. */
  contested: 4004,
} as const;
