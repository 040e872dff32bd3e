import type { Transition } from "../../domain/broadcast/broadcast.ts";
import type { ServerEvent } from "../../domain/protocol/events.ts";
import { isoTime, type Millis } from "../../domain/time.ts";

/** What viewers are told of a change in a broadcast's life. */
export function lifecycleEvent(transition: Transition, streamId: string, peakViewers: number, now: Millis): ServerEvent {
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
