import { mean, variation } from "../metrics/aggregate.ts";
import { round } from "../metrics/points.ts";
import type { FindingCode, Severity } from "../protocol/api/analytics.ts";
import type { BroadcastSummary } from "./broadcast-summary.ts";

/** Something that is not well with a broadcast: what it is, what it costs, and what its broadcaster can do. */
export interface Finding {
  code: FindingCode;
  severity: Severity;
  points: number;
  message: string;
  advice: string;
}

interface Check {
  code: FindingCode;
  /** What is looked at: the larger, the worse; null where it cannot be said. */
  measure(summary: BroadcastSummary): number | null;
  /** From which value on it costs the first points, and from which the last. */
  warnAt: number;
  criticalAt: number;
  points: readonly [least: number, most: number];
  message(value: number, summary: BroadcastSummary): string;
  advice(value: number, summary: BroadcastSummary): string;
}

/** Below it nothing is said of how steady something is. */
const STEADY_AFTER_SECONDS = 30;
/** Players start and switch at key frames, and segments end there. */
const LONG_KEYFRAME_INTERVAL = 4;
const HOUR = 3_600;

const CHECKS: readonly Check[] = [
  {
    code: "broadcast_failed",
    measure: ({ failed }) => (failed ? 1 : null),
    ...{ warnAt: 1, criticalAt: 1, points: [40, 40] },
    message: (_, { endReason }) => `The broadcast ended by a fault: ${endReason ?? "unknown"}.`,
    advice: () => "Correct what the fault says and publish again with the same stream key: the encoder must send H.264 and AAC.",
  },
  {
    code: "reconnects",
    measure: ({ reconnects, total }) => reconnects / Math.max(1, total.seconds / HOUR),
    ...{ warnAt: 1, criticalAt: 6, points: [5, 30] },
    message: (_, { reconnects }) => `The encoder lost its connection and came back ${times(reconnects)}.`,
    advice: (_, { reconnects }) =>
      `The connection broke ${times(reconnects)}: use a cable rather than Wi-Fi, and set the encoder's bitrate to at most 70 % of the upload that you measure.`,
  },
  {
    code: "origin_slow",
    measure: ({ total }) => steady(total.seconds, 1 - (mean(total.speedSum, total.seconds) ?? 1)),
    ...{ warnAt: 0.05, criticalAt: 0.15, points: [10, 40] },
    message: (slow) => `The stream arrives at ${round(1 - slow, 2)} times real time.`,
    advice: (slow) =>
      `Only ${round((1 - slow) * 100, 0)} % of real time arrives: lower the encoder's bitrate or resolution, or see whether its processor or the origin's is at its limit.`,
  },
  {
    code: "dropped_frames",
    measure: ({ total }) => mean(total.dropped, total.dropped + total.fpsSum),
    ...{ warnAt: 0.001, criticalAt: 0.05, points: [5, 40] },
    message: (share, { total }) => `${total.dropped} frames were dropped, ${percent(share)} of all.`,
    advice: (share) =>
      `${percent(share)} of the frames were dropped at the origin: lower the frame rate or the bitrate, and see that timestamps rise.`,
  },
  {
    code: "frame_rate_unstable",
    measure: ({ total }) => steady(total.settledSeconds, variation(total.settledFpsSum, total.settledFpsSquares, total.settledSeconds)),
    ...{ warnAt: 0.1, criticalAt: 0.4, points: [5, 20] },
    message: (spread, { total }) =>
      `The frame rate varies by ${percent(spread)} around ${round(total.fpsSum / total.seconds, 1)} a second.`,
    advice: (spread, { total }) =>
      `Set a constant frame rate in the encoder: it varies by ${percent(spread)} around ${round(total.fpsSum / total.seconds, 1)} a second. Close other programs where its processor is at its limit.`,
  },
  {
    code: "bitrate_unstable",
    measure: ({ total }) =>
      steady(total.settledSeconds, variation(total.settledIngressSum, total.settledIngressSquares, total.settledSeconds)),
    ...{ warnAt: 0.25, criticalAt: 0.75, points: [5, 20] },
    message: (spread, { total }) => `The bitrate varies by ${percent(spread)} around ${kbps(total.ingressSum / total.seconds)}.`,
    advice: (spread, { total }) =>
      `Set rate control to constant bitrate (CBR): it varies by ${percent(spread)} around ${kbps(total.ingressSum / total.seconds)}, with ${kbps(total.ingressMax)} at most, and viewers whose connection is just fast enough will stall.`,
  },
  {
    code: "keyframe_interval_long",
    measure: ({ total }) => mean(total.keyframeSum, total.keyframeSeconds),
    ...{ warnAt: LONG_KEYFRAME_INTERVAL + 0.1, criticalAt: 12, points: [8, 25] },
    message: (interval) => `Key frames are ${round(interval, 1)} s apart on average.`,
    advice: (interval) =>
      `Set the encoder's key frame interval to 2 s: it is ${round(interval, 1)} s now, and players can only start and switch at key frames.`,
  },
  {
    code: "keyframe_interval_unsteady",
    measure: ({ total }) => {
      const average = mean(total.keyframeSum, total.keyframeSeconds) ?? 0;
      const isUnsteady = average <= LONG_KEYFRAME_INTERVAL && total.keyframeMax > Math.max(LONG_KEYFRAME_INTERVAL, 1.5 * average);
      return isUnsteady ? total.keyframeMax : null;
    },
    ...{ warnAt: LONG_KEYFRAME_INTERVAL, criticalAt: 30, points: [3, 10] },
    message: (longest, { total }) =>
      `Key frames come unsteadily: ${round(total.keyframeSum / total.keyframeSeconds, 1)} s apart on average, and ${round(longest, 1)} s at most.`,
    advice: (longest) => `Set a fixed key frame interval of 2 s in the encoder, not "auto": the longest was ${round(longest, 1)} s.`,
  },
  {
    code: "stalls",
    // What was watched counts as an hour at least: of a small audience a single stall says little.
    measure: ({ total }) => (total.stalls * HOUR) / Math.max(total.viewerSeconds, HOUR),
    ...{ warnAt: 1, criticalAt: 12, points: [5, 30] },
    message: (_, { total }) => `Players stalled ${times(total.stalls)} in ${watched(total.viewerSeconds)} of watching.`,
    advice: (_, { total }) =>
      `Players stalled ${times(total.stalls)} in ${watched(total.viewerSeconds)} of watching: lower the bitrate from ${kbps(total.ingressSum / total.seconds)}, or choose \`latency_mode: standard\`, which lets players buffer more.`,
  },
  {
    code: "origin_warning",
    measure: ({ warnings }) => (warnings.length === 0 ? null : warnings.length),
    ...{ warnAt: 1, criticalAt: 10, points: [3, 10] },
    message: (_, { warnings }) => `The origin says: ${warnings.join("; ")}.`,
    advice: (_, { warnings }) => `Look at what the origin noticed: ${warnings.join("; ")}.`,
  },
  {
    code: "no_audio",
    measure: ({ hasAudio }) => (hasAudio ? null : 1),
    ...{ warnAt: 1, criticalAt: 2, points: [0, 0] },
    message: () => "The encoder sends no sound.",
    advice: () => "The broadcast has no sound: add an audio source (AAC, 128 kbit/s) if it is to have any.",
  },
  {
    code: "no_video",
    measure: ({ hasVideo }) => (hasVideo ? null : 1),
    ...{ warnAt: 1, criticalAt: 2, points: [0, 0] },
    message: () => "The encoder sends no picture.",
    advice: () => "The broadcast has no picture: add a video source (H.264) if it is to have one.",
  },
];

/** All that is not well with a broadcast, what costs most first; empty where nothing was measured. */
export function computeFindings(summary: BroadcastSummary): Finding[] {
  if (summary.total.seconds === 0 && !summary.failed) return [];
  return CHECKS.flatMap((check) => judge(check, summary)).sort((a, b) => b.points - a.points);
}

function judge(check: Check, summary: BroadcastSummary): Finding[] {
  const value = check.measure(summary);
  if (value === null || value < check.warnAt) return [];
  const { code, points } = check;
  const [least, most] = points;
  const isCritical = value >= check.criticalAt;
  const way = isCritical ? 1 : (value - check.warnAt) / (check.criticalAt - check.warnAt);
  const severity = most === 0 ? "info" : isCritical ? "critical" : "warning";
  return [
    {
      ...{ code, severity, points: Math.round(least + way * (most - least)) },
      message: check.message(value, summary),
      advice: check.advice(value, summary),
    },
  ];
}

function steady(seconds: number, value: number | null): number | null {
  return seconds < STEADY_AFTER_SECONDS ? null : value;
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}

function watched(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} seconds`;
  return seconds < 2 * HOUR ? `${Math.round(seconds / 60)} minutes` : `${round(seconds / HOUR, 1)} hours`;
}

function percent(share: number): string {
  return `${round(share * 100, share < 0.1 ? 1 : 0)} %`;
}

function kbps(value: number): string {
  return `${Math.round(value)} kbit/s`;
}
