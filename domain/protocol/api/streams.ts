import { z } from "zod";
import { ProfileName } from "../../profiles.ts";
import { StreamStatus, Viewers } from "../events.ts";
import { label, words } from "./words.ts";

/** Who may play a stream: anybody, and it is listed; whoever has the address; or whoever has a playback token. */
export const Visibility = z.enum(["public", "unlisted", "signed"]);
export type Visibility = z.infer<typeof Visibility>;

const LatencyMode = z.enum(["low", "standard"]);
const tag = words(64)
  .transform((text) => text.trim())
  .refine((text) => text !== "", "not empty");

/** What a broadcaster sets of a stream, without defaults. */
const settings = {
  title: label(255),
  description: words(2000),
  tags: z
    .array(tag)
    .max(10)
    .transform((tags) => [...new Set(tags)]),
  visibility: Visibility,
  latency_mode: LatencyMode.meta({
    description: "`low` lists parts, for two seconds behind the camera; `standard` lists whole segments: fewer requests",
  }),
  part_target: z
    .number()
    .min(0.333)
    .max(1)
    .meta({ description: "Length of a part, seconds: players stay three of them behind the live edge" }),
  dvr_window_seconds: z.number().int().min(60).max(14_400).meta({ description: "How far back viewers can seek" }),
  record: z.boolean().meta({ description: "Broadcasts stay playable when they have ended" }),
  profile: ProfileName.meta({
    description:
      "What viewers are offered: `passthrough` the encoder's own H.264 as `source`, `passthrough_any` also HEVC and AV1, `ladder` H.264 in 1080p, 720p and 480p as far as the input reaches, `ladder_source` those and `source`",
  }),
  reconnect_window_seconds: z
    .number()
    .int()
    .min(0)
    .max(1800)
    .meta({ description: "How long a broadcast waits for its encoder to come back" }),
};

/** The body of `POST /api/v1/streams`. */
export const CreateStream = z
  .strictObject({
    ...settings,
    description: settings.description.default(""),
    tags: settings.tags.default([]),
    visibility: settings.visibility.default("public"),
    latency_mode: settings.latency_mode.default("low"),
    part_target: settings.part_target.default(0.5),
    dvr_window_seconds: settings.dvr_window_seconds.default(60),
    record: settings.record.default(false),
    profile: settings.profile.default("passthrough"),
    reconnect_window_seconds: settings.reconnect_window_seconds.default(60),
  })
  .meta({ id: "CreateStream", example: { title: "Morning show", tags: ["news"], visibility: "public" } });
export type CreateStream = z.output<typeof CreateStream>;

/** The body of `PATCH /api/v1/streams/{id}`: what it does not name stays. */
export const UpdateStream = z
  .strictObject(settings)
  .partial()
  .refine((changes) => Object.keys(changes).length > 0, "name at least one field to change")
  .meta({ id: "UpdateStream", example: { title: "Evening show" } });
export type UpdateStream = z.output<typeof UpdateStream>;

/** How lists of streams can be sorted; `-` is downwards. */
export const StreamSort = z.enum(["-created_at", "created_at", "-viewer_count", "viewer_count"]);
export type StreamSort = z.infer<typeof StreamSort>;

/** Query of `GET /api/v1/streams`; `cursor` is the `next_cursor` of the page before. */
export const ListStreams = z.strictObject({
  status: StreamStatus.optional().meta({ description: "Of the latest broadcast" }),
  tag: z.string().max(64).optional().meta({ description: "One of the stream's tags, to the letter" }),
  q: words(100).trim().min(1).optional().meta({ description: "Text that title or description contain; A to Z in whatever case" }),
  sort: StreamSort.default("-created_at").meta({ description: "`-` is downwards" }),
  limit: z.coerce.number().int().min(1).max(100).default(50).meta({ description: "Streams on a page" }),
  cursor: z.string().max(128).optional().meta({ description: "`next_cursor` of the page before, with the same filters" }),
});
export type ListStreams = z.output<typeof ListStreams>;

const timestamp = z.iso.datetime();

const exampleId = "7k2m9qx4v8n3p5r1t6w0z2bc";
const exampleStream = {
  id: exampleId,
  title: "Morning show",
  description: "News and weather, every weekday at six",
  tags: ["news"],
  status: "active" as const,
  visibility: "public" as const,
  latency_mode: "low" as const,
  part_target: 0.5,
  dvr_window_seconds: 60,
  record: false,
  profile: "passthrough" as const,
  reconnect_window_seconds: 60,
  rtmp_url: "rtmp://live.example.com:1935/live",
  playback: {
    hls: `https://live.example.com/hls/${exampleId}/index.m3u8`,
    dash: `https://live.example.com/dash/${exampleId}/manifest.mpd`,
  },
  watch_url: `https://live.example.com/watch/${exampleId}`,
  broadcast: 3,
  viewer_count: 1204,
  peak_viewers: 1310,
  end_reason: null,
  started_at: "2026-05-02T18:00:01.300Z",
  ended_at: null,
  created_at: "2026-05-01T09:12:44.018Z",
  updated_at: "2026-05-02T17:58:10.551Z",
  deleted_at: null,
};

/** A stream as the API shows it. */
export const StreamResource = z
  .object({
    id: z.string(),
    title: z.string(),
    description: z.string(),
    tags: z.array(z.string()),
    status: StreamStatus,
    visibility: Visibility,
    latency_mode: LatencyMode,
    part_target: z.number(),
    dvr_window_seconds: z.number(),
    record: z.boolean(),
    profile: ProfileName,
    reconnect_window_seconds: z.number(),
    rtmp_url: z.string().meta({ description: "Where encoders publish: `{rtmp_url}/{stream_key}`" }),
    playback: z.object({ hls: z.string(), dash: z.string() }),
    watch_url: z.string(),
    broadcast: z.number().int().meta({ description: "The latest broadcast's number; 0 before the first" }),
    viewer_count: z.number().int().meta({ description: "Exact where one stream is asked for; in lists up to 10 s old" }),
    peak_viewers: z.number().int().meta({ description: "Of the latest broadcast" }),
    viewers: Viewers.optional().meta({ description: "Where one stream is asked for: who watches, as its object knows" }),
    end_reason: z.string().nullable().meta({ description: "Why the latest broadcast ended, where it did" }),
    started_at: timestamp.nullable(),
    ended_at: timestamp.nullable(),
    created_at: timestamp,
    updated_at: timestamp,
    deleted_at: timestamp.nullable(),
  })
  .meta({ id: "Stream", example: { ...exampleStream, viewers: { connected: 1201, sockets: 1204, pull: 87 } } });
export type StreamResource = z.infer<typeof StreamResource>;

/** Answer of `POST /api/v1/streams`: the only one that ever holds the key. */
export const CreatedStream = StreamResource.extend({
  stream_key: z.string().meta({ description: "For the encoder; shown this once" }),
}).meta({
  id: "CreatedStream",
  example: {
    ...exampleStream,
    status: "pending",
    ...{ broadcast: 0, viewer_count: 0, peak_viewers: 0, started_at: null, updated_at: exampleStream.created_at },
    stream_key: "nova_4f8k2m6q1r5t9v3x7z0b4d8g2j6n0p3s",
  },
});
export type CreatedStream = z.infer<typeof CreatedStream>;

/** Answer of `GET /api/v1/streams`. */
export const StreamList = z
  .object({
    streams: z.array(StreamResource),
    next_cursor: z.string().nullable().meta({ description: "Asks for the next page; null on the last" }),
  })
  .meta({ id: "StreamList", example: { streams: [exampleStream], next_cursor: null } });
