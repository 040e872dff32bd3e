import { z } from "zod";

const time = z.iso.datetime({ offset: true });
const figure = z.number().nonnegative();
const count = z.number().int().nonnegative();

/** Query of `GET /api/v1/streams/{id}/metrics`. */
export const MetricsQuery = z.strictObject({
  since: time.optional().meta({ description: "ISO 8601; an hour before `until` where it is left out", example: "2026-11-21T10:00:00Z" }),
  until: time.optional().meta({ description: "ISO 8601; now where it is left out", example: "2026-11-21T11:00:00Z" }),
  step: z.coerce.number().int().min(1).max(86_400).optional().meta({
    description:
      "Seconds of a point. Taken as the next longer of 1, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400 that gives at most 1,000 points; at least 60 where the range begins more than 24 h ago. The shortest possible where it is left out",
    example: 10,
  }),
});
export type MetricsQuery = z.output<typeof MetricsQuery>;

/** The figures of one step. Averages are over the seconds of the step in which the stream was live. */
export const MetricPoint = z
  .object({
    at: z.iso.datetime().meta({ description: "When the step begins: a multiple of its length since 1970" }),
    seconds: count.meta({ description: "Seconds of the step in which the stream was live, and said so" }),
    viewers: figure.meta({ description: "Viewers with a socket, on average" }),
    viewers_max: count,
    pull: figure.meta({ description: "Players without a socket, on average" }),
    joins: count.meta({ description: "Stays of viewers that began" }),
    ingress_kbps: figure.meta({ description: "What the encoder sends, on average" }),
    ingress_kbps_min: figure,
    ingress_kbps_max: figure,
    egress_kbps: figure.meta({ description: "What viewers fetch, on average: an estimate, of who plays what and its measured bitrate" }),
    fps: figure,
    fps_min: figure,
    dropped_frames: count.meta({ description: "In the step" }),
    keyframe_interval: figure.nullable().meta({ description: "Seconds, on average; null where it is not known" }),
    keyframe_interval_max: figure.nullable(),
    speed: figure.meta({ description: "Media time over wall time, on average: below 1 the origin falls behind" }),
    speed_min: figure,
    stalls: count.meta({ description: "In the step, as players say" }),
    errors: count.meta({ description: "In the step: lost connections of the encoder, and troubles at the origin" }),
    health_seconds: z
      .object({ good: count, fair: count, poor: count })
      .meta({ description: "For how many seconds the encoder's stream arrived well" }),
    renditions: z
      .record(z.string(), figure)
      .meta({ description: "Viewers by the rendition that they play, on average, as far as their players say" }),
  })
  .meta({ id: "MetricPoint" });
export type MetricPoint = z.infer<typeof MetricPoint>;

/** Answer of `GET /api/v1/streams/{id}/metrics`. */
export const Metrics = z
  .object({
    since: z.iso.datetime().meta({ description: "When the first step begins" }),
    until: z.iso.datetime().meta({ description: "When the last step ends" }),
    step: count.meta({ description: "Seconds of a point" }),
    points: z.array(MetricPoint).max(1_000).meta({ description: "In order; steps without a live second are left out" }),
  })
  .meta({
    id: "Metrics",
    description: "Figures of a stream over time",
    example: {
      since: "2026-11-21T10:00:00.000Z",
      until: "2026-11-21T10:00:10.000Z",
      step: 10,
      points: [
        {
          at: "2026-11-21T10:00:00.000Z",
          seconds: 10,
          viewers: 811.4,
          viewers_max: 812,
          pull: 40,
          joins: 3,
          ingress_kbps: 2512.3,
          ingress_kbps_min: 2480,
          ingress_kbps_max: 2560,
          egress_kbps: 2118042,
          fps: 30,
          fps_min: 29.8,
          dropped_frames: 0,
          keyframe_interval: 2,
          keyframe_interval_max: 2,
          speed: 1,
          speed_min: 0.998,
          stalls: 1,
          errors: 0,
          health_seconds: { good: 10, fair: 0, poor: 0 },
          renditions: { source: 805.2 },
        },
      ],
    },
  });
export type Metrics = z.infer<typeof Metrics>;
