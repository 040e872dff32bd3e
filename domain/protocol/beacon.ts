import { z } from "zod";
import { ViewerId } from "./events.ts";
import { RenditionName } from "./origin-link.ts";

/** How long a beacon may be, bytes. */
export const MAX_BEACON_BYTES = 4_096;

const HOUR_MS = 3_600_000;

const measured = z.object({
  type: z.enum(["startup", "stall", "latency"]).meta({
    description: "`startup`: from the wish to play to the first picture; `stall`: how long it stood still; `latency`: behind the encoder",
  }),
  ms: z.number().nonnegative().max(HOUR_MS),
  rendition: RenditionName.optional(),
});
const switched = z.object({ type: z.literal("switch"), from: RenditionName, to: RenditionName });
const failed = z.object({ type: z.literal("error"), code: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, "up to 64 of A-Z a-z 0-9 . _ -") });

/** Something that a player noticed. */
export const BeaconEvent = z.discriminatedUnion("type", [measured, switched, failed]).meta({ id: "BeaconEvent" });
export type BeaconEvent = z.infer<typeof BeaconEvent>;

/** The body of `POST /api/v1/streams/{id}/beacon`, JSON under whatever content type: `navigator.sendBeacon` sends text without a preflight. */
export const Beacon = z.object({ viewer: ViewerId, events: z.array(BeaconEvent).min(1).max(20) }).meta({
  id: "Beacon",
  example: {
    viewer: "3f9c2b7d8e1a4c60",
    events: [
      { type: "startup", ms: 640, rendition: "source" },
      { type: "switch", from: "720p", to: "480p" },
      { type: "error", code: "media-network" },
    ],
  },
});
export type Beacon = z.infer<typeof Beacon>;
