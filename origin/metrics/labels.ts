import { EndReason, TracksReason } from "../../domain/protocol/origin-link.ts";

/** What the names of the origin's own metrics begin with. */
export const PREFIX = "nova_streaming_";

/** Why a publish was refused, as metrics count it; whatever else is said counts as `other`. */
const REFUSALS = new Set([
  // The edge's words.
  ...["unknown_key", "key_revoked", "key_expired", "stream_ended", "already_live", "unavailable"],
  // This origin's.
  ...["capacity", "draining", "unsupported_input", "bitrate", "invalid_name", "timeout"],
]);

/** The label of a refusal's code: a name of a fixed set, so that nobody outside can make series. */
export function refusalLabel(code: string): string {
  return REFUSALS.has(code) ? code : "other";
}

/** What opens an epoch: a publish, or a change within one. */
export type EpochReason = "publish" | TracksReason;

/** Every value that an epoch's reason takes. */
export const EPOCH_REASONS: readonly EpochReason[] = ["publish", ...TracksReason.options];

/** Every value that the end of a publish takes. */
export const END_REASONS: readonly EndReason[] = EndReason.options;

const WANTED = new Set<EndReason>(["unpublished", "origin_shutdown"]);

/** Whether a publish that ended so was cut short by something that went wrong. */
export function isFault(reason: EndReason): boolean {
  return !WANTED.has(reason);
}
