import { z } from "zod";
import { AckFrame, CloseCode, PlaybackFrame, ServerFrame } from "../../domain/protocol/events.ts";

/** What the API's document says about the WebSocket of a stream; docs/websocket.md tells a client's author the rest. */
const PROSE = `Everything that happens to a stream, as it happens: who watches, when it starts, pauses and ends, how well it arrives, and what the
broadcaster sends along. Whoever has a socket open is a viewer and is counted. Connect with \`wss://\`; a plain GET is answered with 426.

**From the server** come text frames, JSON \`{event, seq, data}\`. The first is \`connection_established\`. \`seq\` rises by one with each event
within an \`instance\`; \`connection_established\`, \`gap\` and \`error\` are for one socket only and carry the number of the event that they follow.
New events may be added, and fields: ignore what you do not know, but count its \`seq\`.

**From the client** come the text \`ping\`, at least every \`ping_interval_ms\`, answered with the text \`pong\`; \`ack\` each \`ack_bytes\` of
frames read; and \`playback\`, at most every 10 s. At most 10 messages in 10 s, pings apart, of at most 4 KiB each.

**Resuming**: after every close but 4001 reconnect, with jitter, with \`resume={instance}.{seq}\`. What was missed in the last two minutes comes again;
what cannot be had any more is named by a \`gap\`.

Pages of other sites are let in where the deployment's \`ALLOWED_ORIGINS\` names them. \`x-websocket-messages\` has each message with its schema.`;

type Frames = { [Frame in ServerFrame as Frame["event"]]: { description: string; example: Frame } };

const lifecycle = { stream_id: "7k2m9qx4v8n3p5r1t6w0z2bc", broadcast: 3 };
const counts = { viewer_count: 1205, peak_viewers: 1310, viewers: { connected: 1202, sockets: 1205, pull: 87 } };

const SERVER_FRAMES: Frames = {
  connection_established: {
    description: "The first frame of every socket: all that a page needs to begin with",
    example: {
      event: "connection_established",
      seq: 41,
      data: {
        instance: "7d3c3a54-4d4f-4a52-9d0e-0d0f3f0c8f11",
        stream: {
          id: "7k2m9qx4v8n3p5r1t6w0z2bc",
          title: "Friday concert",
          status: "active",
          broadcast: 2,
          started_at: "2026-05-01T18:00:02.120Z",
          ended_at: null,
          end_reason: null,
        },
        ...counts,
        qualities: ["source"],
        ping_interval_ms: 25_000,
        ack_bytes: 16_384,
      },
    },
  },
  viewer_count_changed: {
    description: "At most once a second; with more than 10,000 viewers more seldom, down to once in 5 s",
    example: {
      event: "viewer_count_changed",
      seq: 42,
      data: { stream_id: lifecycle.stream_id, ...counts, timestamp: "2026-05-01T18:31:07.004Z" },
    },
  },
  stream_started: {
    description: "A broadcast has begun, or its encoder is back in time",
    example: { event: "stream_started", seq: 43, data: { ...lifecycle, timestamp: "2026-05-02T18:00:01.300Z" } },
  },
  stream_reconnecting: {
    description: "The encoder is gone; at `deadline` the broadcast completes if none comes back",
    example: {
      event: "stream_reconnecting",
      seq: 44,
      data: {
        ...lifecycle,
        timestamp: "2026-05-02T18:20:09.000Z",
        reason: "connection_lost",
        deadline: "2026-05-02T18:21:09.000Z",
      },
    },
  },
  stream_ended: {
    description: "The broadcast is over",
    example: {
      event: "stream_ended",
      seq: 45,
      data: { ...lifecycle, timestamp: "2026-05-02T19:02:40.500Z", duration_seconds: 3759.2, peak_viewers: 1822, reason: "unpublished" },
    },
  },
  stream_updated: {
    description: "The broadcaster has changed what the stream is called",
    example: {
      event: "stream_updated",
      seq: 49,
      data: { stream_id: lifecycle.stream_id, title: "Evening show", timestamp: "2026-05-02T18:30:00.000Z" },
    },
  },
  quality_changed: {
    description: "Other renditions can be chosen",
    example: {
      event: "quality_changed",
      seq: 46,
      data: { stream_id: lifecycle.stream_id, qualities: ["720p", "480p"], reason: "overload", timestamp: "2026-05-02T18:20:31.000Z" },
    },
  },
  bitrate_update: {
    description: "Every 5 s of a live broadcast: how well it arrives",
    example: {
      event: "bitrate_update",
      seq: 47,
      data: { bitrate_kbps: 3120, fps: 29.97, dropped_frames: 2, health: "fair", health_reasons: ["2 frames dropped"] },
    },
  },
  timed_metadata: {
    description: "What the broadcaster sends along, by `POST /api/v1/streams/{id}/metadata`",
    example: { event: "timed_metadata", seq: 48, data: { at: "2026-05-02T18:25:00.000Z", payload: { score: [2, 1] } } },
  },
  gap: {
    description: "What a resuming client missed and cannot have; the next event is `to` + 1",
    example: { event: "gap", seq: 60, data: { from: 49, to: 60 } },
  },
  error: {
    description: "What the client did wrong, before the socket is closed",
    example: {
      event: "error",
      seq: 60,
      data: { code: "too_many_messages", message: "at most 10 messages in 10 s", recoverable: false },
    },
  },
};

interface SocketMessage {
  name: string;
  description: string;
  example: unknown;
  schema: Record<string, unknown>;
}

/** Each message of the socket, with its JSON schema and an example. What the API shows, too, is a reference to its component. */
export function socketMessages(): Record<"server" | "client", SocketMessage[]> {
  const server = ServerFrame.options.map((frame) => {
    const [name] = frame.shape.event.values;
    if (name === undefined) throw new Error("a frame without a name");
    return { name, ...SERVER_FRAMES[name], schema: schemaOf(frame) };
  });
  const client = [
    {
      name: "ack",
      description: "The client has read everything up to the event `seq`",
      example: { type: "ack", seq: 60 },
      schema: schemaOf(AckFrame),
    },
    {
      name: "playback",
      description: "How playback does, for the list of viewers and the statistics; optional",
      example: { type: "playback", rendition: "720p", buffered_ms: 1840, latency_ms: 2100, stalls: 1, switches: 3 },
      schema: schemaOf(PlaybackFrame),
    },
  ];
  return {
    server: [...server, text("pong", "The answer to `ping`, as bare text")],
    client: [...client, text("ping", "The client is there, as bare text; answered with `pong`")],
  };
}

/** All that there is to say about the socket, in Markdown: the rules, each message with its example, the close codes. */
export function describeSocket(): string {
  const { server, client } = socketMessages();
  const list = (messages: SocketMessage[]) =>
    messages.map(
      ({ name, description, example }) =>
        `\`${name}\`: ${description}.\n\n    ${typeof example === "string" ? example : JSON.stringify(example)}`,
    );
  const codes = Object.entries(SOCKET_CLOSE_CODES).map(([code, reason]) => `- \`${code}\` ${reason}`);
  return [PROSE, "### From the server", ...list(server), "### From the client", ...list(client), "### Close codes", codes.join("\n")].join(
    "\n\n",
  );
}

function text(name: string, description: string) {
  return { name, description, example: name, schema: { type: "string", enum: [name] } };
}

function schemaOf(schema: z.ZodType): Record<string, unknown> {
  const { definitions: _, ...own } = z.toJSONSchema(schema, {
    target: "openapi-3.0",
    io: "input",
    override: ({ jsonSchema }) => {
      // The pattern of a date is longer than all the rest, and says the same.
      if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  return JSON.parse(JSON.stringify(own).replaceAll("#/definitions/", "#/components/schemas/")) as Record<string, unknown>;
}

/** Why the server closes a socket. */
export const SOCKET_CLOSE_CODES = {
  [CloseCode.unsupported]: "A binary frame",
  [CloseCode.invalid]: "Not a message of this protocol",
  [CloseCode.rate]: "More than 10 messages in 10 s",
  [CloseCode.tooBig]: "A message over 4 KiB",
  [CloseCode.replaced]: "A newer socket of the same viewer took its place: stay shut",
  [CloseCode.silent]: "No ping for 65 s: reconnect with `resume`",
  [CloseCode.slow]: "64 KiB unacknowledged: reconnect with `resume`",
  [CloseCode.contested]: "The same viewer opened another socket in the same moment: whoever still wants one reconnects with `resume`",
};
