import { z } from "zod";
import type { Millis } from "../time.ts";
import type { Viewers } from "./events.ts";

/** What a client runs on, as far as its user agent tells. */
export const Device = z.enum(["desktop", "mobile", "tablet", "tv", "bot", "other"]);
export type Device = z.infer<typeof Device>;

/** How far player keys reach: they are whole numbers below it, evenly spread. */
export const PLAYER_KEYS = 2 ** 52;
/** How many keys a report holds at most. */
export const MAX_PULL_KEYS = 1_024;

/** Who asks, without an address or a user agent: hashes that are good for one stream and one UTC day. */
export interface Visitor {
  /** Of the client's address, an IPv6 one by its /64; null for loopback, and where there is none: not to be limited. */
  address: string | null;
  /** Of address and player: the same for a browser's page and the player that it plays with. */
  player: number;
  /** What `player` will be tomorrow: a socket may stay open over midnight. */
  nextPlayer: number;
  device: Device;
  /** ISO 3166, two letters. */
  country: string | null;
}

const playerKey = z.number().int().nonnegative().lt(PLAYER_KEYS);

/** Players that an isolate has heard of since its last report: those of its keys that are below `threshold`, a power of two. */
export const PullReport = z.object({
  keys: z.array(playerKey).max(MAX_PULL_KEYS),
  threshold: z
    .number()
    .int()
    .min(1)
    .max(PLAYER_KEYS)
    .refine((threshold) => Number.isInteger(Math.log2(threshold)), "a power of two"),
});
export type PullReport = z.infer<typeof PullReport>;

/** Query of `GET /api/v1/streams/{id}/viewers`; `cursor` is the `next_cursor` of the page before. */
export const ListViewers = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(50),
  cursor: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, "take it from next_cursor of the page before")
    .optional(),
});

/** A viewer's stay, from its first socket to its last. */
export interface ViewerSession {
  viewer: string;
  joined_at: string;
  /** Null while it lasts. */
  left_at: string | null;
  /** So far, where it lasts. */
  duration_seconds: number;
  /** What it plays, or played last; null where its player has not said. */
  rendition: string | null;
  stalls: number;
  switches: number;
  device: string;
  country: string | null;
}

/** Answer of `GET /api/v1/streams/{id}/viewers`: who watches now, and the stays of those who do and did, the newest first. */
export interface ViewerList {
  viewers: Viewers;
  sessions: ViewerSession[];
  next_cursor: string | null;
}

/** Anything that JSON can say. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [name: string]: JsonValue };

/** How long a payload may be, bytes of its JSON. */
export const MAX_METADATA_BYTES = 4_096;
const MAX_METADATA_DEPTH = 32;
const MAX_METADATA_TIME_MS: Millis = Date.UTC(2100, 0, 1);

/** The body of `POST /api/v1/streams/{id}/metadata`. */
export const SendMetadata = z.strictObject({
  payload: z.custom<JsonValue>(
    (payload) => payload !== undefined && isWithinDepth(payload, MAX_METADATA_DEPTH),
    `any JSON, at most ${MAX_METADATA_DEPTH} levels deep`,
  ),
  /** The moment of the programme that it belongs to; without it, now. */
  at: z.iso
    .datetime({ offset: true })
    .refine((at) => Date.parse(at) >= 0 && Date.parse(at) < MAX_METADATA_TIME_MS, "between 1970 and 2100")
    .optional(),
});

/** Answer to it: the number of the event that carries it, and the time that it was given. */
export interface MetadataAnswer {
  seq: number;
  at: string;
}

/** Whoever reads JSON by recursion must not run out of stack. */
function isWithinDepth(value: unknown, levels: number): boolean {
  // JSON has no number that large: it would come out as null.
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isWithinDepth(item, levels - 1));
}
