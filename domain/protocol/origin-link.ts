import { z } from "zod";
import { ProfileName } from "../profiles.ts";
import { Health } from "./events.ts";

/**
 * What origin and edge say to each other under `/origin/v1`. The origin proves itself with a bearer token on every call,
 * and with the lease of its epoch (header `Lease`) on every call after `publish`.
 */

/** A rendition's name, as it stands in URLs: `source`, `audio`, `720p`. It has a letter: bare numbers in their place name broadcasts. */
export const RenditionName = z.string().regex(/^(?=.*[a-z])[a-z0-9]{1,16}$/);

const positiveSeconds = z.number().positive().max(60);

/** What a broadcast declared with its first epoch and keeps for its whole life (PL1). */
export const Declared = z.object({
  /** `EXT-X-TARGETDURATION`, whole seconds. */
  target_duration: z.number().int().min(1).max(30),
  /** `PART-TARGET` of each rendition, seconds. */
  part_targets: z.record(RenditionName, positiveSeconds),
});
export type Declared = z.infer<typeof Declared>;

export const PublishRequest = z.object({
  stream_key: z.string().min(1).max(256),
  origin_id: z.string().min(1).max(64),
  encoder: z.object({
    software: z.string().max(128).nullable(),
    /** Where it calls from. */
    address: z.string().max(64).nullable().default(null),
  }),
  /** The encoder stands by for another one with the same stream key: where that one is live, the answer is `StandbyAnswer`. */
  backup: z.boolean().default(false),
});
export type PublishRequest = z.input<typeof PublishRequest>;

export const PublishAnswer = z.object({
  stream_id: z.string(),
  broadcast: z.number().int().positive(),
  epoch: z.number().int().positive(),
  lease: z.string(),
  /** The first media sequence number that this epoch uses, in every rendition. */
  next_msn: z.number().int().positive(),
  profile: ProfileName,
  part_target: z.number(),
  segment_target: z.number(),
  /** Set where the broadcast goes on from an earlier epoch: its values bind this one. */
  declared: Declared.nullable(),
  /** The edge's clock, Unix ms. */
  now: z.number().int(),
  /** No earlier program date time than this, Unix ms (PL6); null in a new broadcast. */
  pdt_floor: z.number().int().nullable(),
});
export type PublishAnswer = z.infer<typeof PublishAnswer>;

/** 202 to the publish of a backup while another encoder is live: ask `POST /{stream}/standby` with the ticket each half second. */
export const StandbyAnswer = z.object({
  standby: z.literal(true),
  stream_id: z.string(),
  /** Proves the backup's publish; it is forgotten when nobody asks for 5 s. */
  ticket: z.string(),
});
export type StandbyAnswer = z.infer<typeof StandbyAnswer>;

/** Asks whether a backup's turn has come: 202 `StandbyAnswer` while it has not, 200 `PublishAnswer` when it has, 409 `standby_expired` where it must publish anew. */
export const StandbyRequest = z.object({ ticket: z.string().min(1).max(100), origin_id: z.string().min(1).max(64) });
export type StandbyRequest = z.infer<typeof StandbyRequest>;

/** `POST /{stream}/{epoch}/next`, with the lease: the same encoder goes on in a new epoch, which the answer, a `PublishAnswer`, opens. The old one takes nothing more. */
export const NextEpochRequest = z.object({ origin_id: z.string().min(1).max(64) });
export type NextEpochRequest = z.infer<typeof NextEpochRequest>;

const track = {
  name: RenditionName,
  /** RFC 6381, read from the init segment. */
  codec: z.string().min(1).max(64),
  part_target: positiveSeconds,
  /** Bits per second as the encoder declares them; 0 where it says nothing. The edge measures the truth. */
  bandwidth: z.number().int().nonnegative(),
};

export const VideoTrack = z.object({
  kind: z.literal("video"),
  ...track,
  width: z.number().int().positive(),
  height: z.number().int().positive(),
  /** Frames per second; null where it is not known. */
  frame_rate: z.number().positive().max(1000).nullable(),
});
export type VideoTrack = z.infer<typeof VideoTrack>;

export const AudioTrack = z.object({
  kind: z.literal("audio"),
  ...track,
  channels: z.number().int().positive(),
  sample_rate: z.number().int().positive(),
});
export type AudioTrack = z.infer<typeof AudioTrack>;

export const Track = z.discriminatedUnion("kind", [VideoTrack, AudioTrack]);
export type Track = z.infer<typeof Track>;

/** Why an epoch's renditions are not those of the one before: `quality_changed` says it to viewers. */
export const TracksReason = z.enum(["input_changed", "overload", "recovered", "backup"]);
export type TracksReason = z.infer<typeof TracksReason>;

export const TracksRequest = z.object({
  /** Program date time of the epoch's first frame, Unix ms. */
  started_at: z.number().int().positive(),
  target_duration: Declared.shape.target_duration,
  reason: TracksReason.default("input_changed"),
  renditions: z
    .array(Track)
    .min(1)
    .max(12)
    .refine((tracks) => new Set(tracks.map((track) => track.name)).size === tracks.length, "each rendition has a name of its own"),
});
export type TracksRequest = z.input<typeof TracksRequest>;

/** The query of a part's PUT. */
export const PartQuery = z.object({
  duration: z.coerce.number().positive().max(30),
  independent: z.enum(["0", "1"]).transform((flag) => flag === "1"),
});

/** The query of a segment's PUT. `gap=1` with an empty body says that these bytes are lost for good (PL12). */
export const SegmentQuery = z.object({
  duration: z.coerce.number().positive().max(60),
  /** Program date time of the segment's first frame, Unix ms. */
  pdt: z.coerce.number().int().positive(),
  gap: z
    .enum(["0", "1"])
    .default("0")
    .transform((flag) => flag === "1"),
});

export const PartAnswer = z.object({
  /** The newest part that viewers can fetch in this rendition. */
  head: z.object({ msn: z.number().int(), part: z.number().int() }),
});
export type PartAnswer = z.infer<typeof PartAnswer>;

export const Heartbeat = z.object({
  fps: z.number().nonnegative(),
  bitrate_kbps: z.number().nonnegative(),
  dropped_frames: z.number().int().nonnegative(),
  /** Seconds between the last two key frames; null before the second. */
  keyframe_interval: z.number().nonnegative().nullable(),
  /** Media time over wall time, of the input or of the transcoder, whichever is slower: below 1 something falls behind. */
  speed: z.number().nonnegative(),
  /** How often the encoder's clock has jumped. */
  timestamp_jumps: z.number().int().nonnegative().default(0),
  /** The origin's judgement, and what led to it, in words for the broadcaster; null from an origin that makes none. */
  health: Health.nullable().default(null),
  health_reasons: z.array(z.string().max(200)).max(10).default([]),
  warnings: z.array(z.string().max(200)).max(10),
});
export type Heartbeat = z.infer<typeof Heartbeat>;
/** As an origin sends it. */
export type HeartbeatInput = z.input<typeof Heartbeat>;

export const HeartbeatAnswer = z.object({
  action: z.enum(["continue", "stop"]),
  reason: z.string().nullable(),
});
export type HeartbeatAnswer = z.infer<typeof HeartbeatAnswer>;

/** The bytes of all parts of one call, at most. */
export const MAX_PARTS_BYTES = 16 << 20;

/** How `POST /{stream}/{epoch}/parts` begins, as JSON behind four bytes (big-endian) with its length; the bytes of the parts follow, in this order. */
export const PartsHead = z.object({
  parts: z
    .array(
      z.object({
        rendition: RenditionName,
        msn: z.number().int().min(1).max(999_999_999),
        part: z.number().int().min(0).max(199),
        duration: z.number().positive().max(30),
        independent: z.boolean(),
        size: z.number().int().min(1).max(MAX_PARTS_BYTES),
      }),
    )
    .max(32),
  heartbeat: Heartbeat.nullable(),
});
export type PartsHead = z.infer<typeof PartsHead>;

/** What became of each part, in order: a refused one does not keep the others from being stored. */
export const PartsAnswer = z.object({
  parts: z.array(
    z.union([
      z.object({ status: z.literal(200) }),
      z.object({ status: z.number().int().min(400), error: z.string(), message: z.string() }),
    ]),
  ),
  heartbeat: HeartbeatAnswer.nullable(),
});
export type PartsAnswer = z.infer<typeof PartsAnswer>;

/** Why an encoder connection ended. The first completes the broadcast; the faults end it with `error`; the rest open the reconnect window. */
export const EndReason = z.enum([
  "unpublished",
  "connection_lost",
  "idle",
  "input_changed",
  "origin_shutdown",
  "ingest_lost",
  "transcoder_failed",
  "unsupported_input",
]);
export type EndReason = z.infer<typeof EndReason>;

export const EndRequest = z.object({
  reason: EndReason,
  /** In words, for the broadcaster; never a secret. */
  message: z.string().max(300).nullable(),
});
export type EndRequest = z.infer<typeof EndRequest>;
