import { z } from "zod";
import { Health, StreamStatus } from "../events.ts";

const time = z.iso.datetime();
const figure = z.number().nonnegative();
const count = z.number().int().nonnegative();
const peak = z.object({ value: figure, at: time });

/** Query of `GET /api/v1/streams/{id}/analytics`. */
export const AnalyticsQuery = z.strictObject({
  broadcast: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 31)
    .optional()
    .meta({ description: "Number of a broadcast; the latest where it is left out", example: 3 }),
});
export type AnalyticsQuery = z.output<typeof AnalyticsQuery>;

/** How much something matters: `info` costs no points. */
export const Severity = z.enum(["info", "warning", "critical"]);
export type Severity = z.infer<typeof Severity>;

/** What can be wrong with a broadcast. A code is for ever. */
export const FindingCode = z
  .enum([
    "broadcast_failed",
    "reconnects",
    "origin_slow",
    "dropped_frames",
    "frame_rate_unstable",
    "bitrate_unstable",
    "keyframe_interval_long",
    "keyframe_interval_unsteady",
    "stalls",
    "origin_warning",
    "no_audio",
    "no_video",
  ])
  .meta({ id: "FindingCode" });
export type FindingCode = z.infer<typeof FindingCode>;

/** How well a broadcast went. */
export const BroadcastHealth = z
  .object({
    score: z.number().int().min(0).max(100).meta({ description: "100 less the points of each reason, 0 at least" }),
    grade: Health.meta({ description: "`good` from 80, `fair` from 50" }),
    reasons: z.array(
      z.object({
        code: FindingCode,
        severity: Severity,
        points: count.meta({ description: "What it costs of the score" }),
        message: z.string(),
      }),
    ),
  })
  .meta({ id: "BroadcastHealth" });
export type BroadcastHealth = z.infer<typeof BroadcastHealth>;

/** A figure of a broadcast, beside the mean of those before it. */
export const Trend = z
  .object({
    value: figure.nullable(),
    before: figure.nullable().meta({ description: "Mean of the former broadcasts; null where none has the figure" }),
    change_percent: z.number().nullable().meta({ description: "Null where there is nothing to compare with" }),
  })
  .meta({ id: "Trend" });
export type Trend = z.infer<typeof Trend>;

/** Answer of `GET /api/v1/streams/{id}/analytics`. */
export const Analytics = z
  .object({
    broadcast: count.nullable().meta({ description: "Null where the stream was never live; so is all that follows, and lists are empty" }),
    status: StreamStatus.nullable().meta({ description: "Of the broadcast" }),
    started_at: time.nullable(),
    ended_at: time.nullable(),
    end_reason: z.string().nullable(),
    health: BroadcastHealth.nullable().meta({ description: "Null until the encoder's stream was measured for a second" }),
    totals: z
      .object({
        duration_seconds: figure.meta({ description: "From the first frame to the end, or to now" }),
        live_seconds: count.meta({ description: "Of those, the seconds in which the encoder was connected and measured" }),
        viewer_seconds: count,
        sessions: count.meta({ description: "Stays of viewers with a socket, with those who were there at the start" }),
        ingress_bytes: count.meta({ description: "From the encoder, as measured each second" }),
        egress_bytes: count.meta({ description: "To viewers: an estimate" }),
        dropped_frames: count,
        stalls: count,
        stalls_per_viewer_hour: figure.nullable(),
        reconnects: count,
        errors: count,
        health_seconds: z.object({ good: count, fair: count, poor: count }),
      })
      .nullable(),
    averages: z
      .object({
        viewers: figure,
        pull: figure,
        ingress_kbps: figure,
        ingress_variation: figure
          .nullable()
          .meta({ description: "Standard deviation over mean, without the first seconds of a connection" }),
        egress_kbps: figure,
        fps: figure,
        keyframe_interval: figure.nullable(),
        keyframe_interval_max: figure.nullable(),
        speed: figure,
      })
      .nullable(),
    peaks: z.object({ viewers: peak, ingress_kbps: peak }).nullable(),
    quality: z
      .array(z.object({ rendition: z.string(), share: z.number().min(0).max(1), viewer_seconds: count }))
      .meta({ description: "Share of viewer time by rendition, the largest first; `unknown` for players that did not say" }),
    trends: z
      .object({
        compared_with: z.array(count).meta({ description: "Numbers of the broadcasts before it, up to five, the latest first" }),
        viewers_average: Trend,
        viewers_peak: Trend,
        duration_seconds: Trend,
        health_score: Trend,
        stalls_per_viewer_hour: Trend,
      })
      .nullable(),
    recommendations: z
      .array(z.object({ code: FindingCode, message: z.string() }))
      .meta({ description: "What to do, the most urgent first" }),
  })
  .meta({
    id: "Analytics",
    description: "How a broadcast went",
    example: {
      broadcast: 3,
      status: "completed",
      started_at: "2026-11-21T10:00:00.000Z",
      ended_at: "2026-11-21T11:00:00.000Z",
      end_reason: "unpublished",
      health: {
        score: 88,
        grade: "good",
        reasons: [{ code: "keyframe_interval_long", severity: "warning", points: 12, message: "Key frames are 8.3 s apart on average." }],
      },
      totals: {
        duration_seconds: 3600,
        live_seconds: 3598,
        viewer_seconds: 2_923_200,
        sessions: 1_204,
        ingress_bytes: 1_129_500_000,
        egress_bytes: 917_154_000_000,
        dropped_frames: 0,
        stalls: 310,
        stalls_per_viewer_hour: 0.38,
        reconnects: 0,
        errors: 0,
        health_seconds: { good: 3598, fair: 0, poor: 0 },
      },
      averages: {
        viewers: 812,
        pull: 40,
        ingress_kbps: 2511.2,
        ingress_variation: 0.06,
        egress_kbps: 2038120,
        fps: 30,
        keyframe_interval: 8.3,
        keyframe_interval_max: 8.4,
        speed: 1,
      },
      peaks: {
        viewers: { value: 940, at: "2026-11-21T10:31:04.000Z" },
        ingress_kbps: { value: 3120, at: "2026-11-21T10:12:40.000Z" },
      },
      quality: [
        { rendition: "source", share: 0.97, viewer_seconds: 2_835_504 },
        { rendition: "unknown", share: 0.03, viewer_seconds: 87_696 },
      ],
      trends: {
        compared_with: [2, 1],
        viewers_average: { value: 812, before: 640.5, change_percent: 26.8 },
        viewers_peak: { value: 940, before: 800, change_percent: 17.5 },
        duration_seconds: { value: 3600, before: 3500, change_percent: 2.9 },
        health_score: { value: 88, before: 95, change_percent: -7.4 },
        stalls_per_viewer_hour: { value: 0.38, before: 0.5, change_percent: -24 },
      },
      recommendations: [
        {
          code: "keyframe_interval_long",
          message: "Set the encoder's key frame interval to 2 s: it is 8.3 s now, and players can only start and switch at key frames.",
        },
      ],
    },
  });
export type Analytics = z.infer<typeof Analytics>;
