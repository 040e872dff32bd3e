import { z } from "zod";

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
