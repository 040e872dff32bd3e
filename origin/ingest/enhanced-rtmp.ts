import type { Amf0Value } from "../transcode/amf0.ts";

const RECONNECT = 1;
const CAN_FORWARD = 4;
const VIDEO = ["avc1", "hvc1", "av01"];
const AUDIO = ["mp4a", ".mp3"];

/** What an encoder's `connect` says of Enhanced RTMP; null where it says nothing of it. */
export function parseCapabilities(details: ReadonlyMap<string, Amf0Value>): { canReconnect: boolean } | null {
  const said = ["capsEx", "fourCcList", "videoFourCcInfoMap"].some((name) => details.has(name));
  if (!said) return null;
  const flags = details.get("capsEx");
  return { canReconnect: typeof flags === "number" && (flags & RECONNECT) !== 0 };
}

/** What the ingest says of itself to an encoder that speaks Enhanced RTMP. Whether a codec may be published, the stream's profile decides. */
export function describeCapabilities(): object {
  // The AMF encoder tells a strict array by this mark.
  const fourCcList = Object.defineProperty([...VIDEO, ...AUDIO], "sarray", { value: true });
  const map = (names: string[]): object => Object.fromEntries(names.map((name) => [name, CAN_FORWARD]));
  return { fourCcList, videoFourCcInfoMap: map(VIDEO), audioFourCcInfoMap: map(AUDIO), capsEx: RECONNECT };
}
