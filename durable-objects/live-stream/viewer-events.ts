import type { Transition } from "../../domain/broadcast/broadcast.ts";
import { ACK_BYTES, type PersonalEvent, PING_INTERVAL_MS, type SharedEvent } from "../../domain/protocol/events.ts";
import { isoTime, isoTimeOrNull, type Millis } from "../../domain/time.ts";
import type { LiveFacts } from "./projector.ts";

/** What a viewer is told on connecting. */
export function greetingEvent(
  stream: { id: string; title: string },
  facts: LiveFacts,
  instance: string,
  qualities: string[],
): PersonalEvent {
  return {
    event: "connection_established",
    data: {
      instance,
      stream: {
        ...stream,
        status: facts.status,
        broadcast: facts.broadcast,
        started_at: isoTimeOrNull(facts.startedAt),
        ended_at: isoTimeOrNull(facts.endedAt),
        end_reason: facts.endReason,
      },
      viewer_count: facts.viewerCount,
      peak_viewers: facts.peakViewers,
      viewers: facts.viewers,
      qualities,
      ping_interval_ms: PING_INTERVAL_MS,
      ack_bytes: ACK_BYTES,
    },
  };
}

/** What viewers are told of a change in a broadcast's life. */
export function lifecycleEvent(transition: Transition, streamId: string, peakViewers: number, now: Millis): SharedEvent {
  const lifecycle = { stream_id: streamId, broadcast: transition.broadcast, timestamp: isoTime(now) };
  switch (transition.kind) {
    case "started":
    case "resumed":
      return { event: "stream_started", data: lifecycle };
    case "reconnecting":
      return { event: "stream_reconnecting", data: { ...lifecycle, reason: transition.reason, deadline: isoTime(transition.deadline) } };
    case "ended": {
      const duration_seconds = transition.startedAt === null ? 0 : (transition.endedAt - transition.startedAt) / 1000;
      return { event: "stream_ended", data: { ...lifecycle, duration_seconds, peak_viewers: peakViewers, reason: transition.reason } };
    }
  }
}
