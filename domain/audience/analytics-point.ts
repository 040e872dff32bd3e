interface Common {
  /** The stream's id. */
  stream: string;
  /** A `Device`. */
  device: string;
  /** ISO 3166, two letters. */
  country: string | null;
}

type Happening =
  | { kind: "join" }
  | { kind: "leave"; seconds: number }
  | { kind: "startup" | "stall" | "latency"; ms: number; rendition: string | null }
  | { kind: "switch"; from: string; to: string }
  | { kind: "error"; code: string };

/** Something that happened to a viewer. Whom it happened to is not in it. */
export type AnalyticsPoint = Common & Happening;

/** A row of the data set; the order of its columns is for ever (docs/analytics.md). */
export interface AnalyticsRow {
  indexes: [stream: string];
  blobs: [kind: string, rendition: string, device: string, country: string, detail: string];
  doubles: [value: number];
}

/** The row of a point; what a point does not have is empty. */
export function encodePoint(point: AnalyticsPoint): AnalyticsRow {
  const { stream, kind, device, country } = point;
  const row = (value: number, rendition = "", detail = ""): AnalyticsRow => ({
    indexes: [stream],
    blobs: [kind, rendition, device, country ?? "", detail],
    doubles: [value],
  });
  switch (point.kind) {
    case "join":
      return row(1);
    case "leave":
      return row(point.seconds);
    case "switch":
      return row(1, point.to, point.from);
    case "error":
      return row(1, "", point.code);
    default:
      return row(point.ms, point.rendition ?? "");
  }
}
