import { z } from "zod";
import { StreamStatus, type Viewers } from "./events.ts";

/** Text for people: well-formed, without control characters. */
function words(maxLength: number) {
  return z
    .string()
    .max(maxLength)
    .refine(
      (text) => text.isWellFormed() && !/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(text.replace(/[\n\t]/g, "")),
      "no control characters",
    );
}

/** Who may play a stream: anybody, and it is listed; whoever has the address; or whoever has a playback token. */
export const Visibility = z.enum(["public", "unlisted", "signed"]);
export type Visibility = z.infer<typeof Visibility>;

/** The body of `POST /api/v1/streams`. */
export const CreateStream = z.strictObject({
  title: words(255)
    .transform((title) => title.trim())
    .refine((title) => /[\p{L}\p{N}\p{S}\p{P}]/u.test(title), "1 to 255 characters, one of them visible"),
  description: words(2000).default(""),
  tags: z
    .array(
      words(64)
        .transform((tag) => tag.trim())
        .refine((tag) => tag !== "", "not empty"),
    )
    .max(10)
    .default([]),
  visibility: Visibility.default("public"),
  /** `low` lists parts, for two seconds behind the camera; `standard` lists whole segments: fewer requests. */
  latency_mode: z.enum(["low", "standard"]).default("low"),
  /** Length of a part, seconds: players stay three of them behind the live edge. */
  part_target: z.number().min(0.333).max(1).default(0.5),
  /** How far back viewers can seek, seconds. */
  dvr_window_seconds: z.number().int().min(60).max(14_400).default(60),
  /** Broadcasts stay playable when they have ended. */
  record: z.boolean().default(false),
  profile: z.literal("passthrough").default("passthrough"),
  /** How long a broadcast waits for its encoder to come back, seconds. */
  reconnect_window_seconds: z.number().int().min(0).max(1800).default(60),
});
export type CreateStream = z.infer<typeof CreateStream>;

/** Query of `GET /api/v1/streams`; `cursor` is the `next_cursor` of the page before. */
export const ListStreams = z.strictObject({
  status: StreamStatus.optional(),
  limit: z.coerce.number().int().min(1).max(100).default(50),
  cursor: z.string().max(64).optional(),
});

/** A stream as the API shows it. */
export interface StreamResource {
  id: string;
  title: string;
  description: string;
  tags: string[];
  status: StreamStatus;
  visibility: Visibility;
  latency_mode: "low" | "standard";
  part_target: number;
  dvr_window_seconds: number;
  record: boolean;
  profile: "passthrough";
  reconnect_window_seconds: number;
  rtmp_url: string;
  playback: { hls: string; dash: string };
  watch_url: string;
  /** The latest broadcast's number; 0 before the first. */
  broadcast: number;
  viewer_count: number;
  peak_viewers: number;
  /** Where one stream is asked for: who watches, as its object knows. */
  viewers?: Viewers;
  /** Why the latest broadcast ended, where it did. */
  end_reason: string | null;
  started_at: string | null;
  ended_at: string | null;
  created_at: string;
  updated_at: string;
  deleted_at: string | null;
}

/** Every refusal of the API. */
export interface ErrorBody {
  error: string;
  message: string;
  request_id: string;
  details?: unknown;
}
