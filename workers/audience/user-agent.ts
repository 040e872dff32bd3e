import type { Device } from "../../domain/protocol/audience.ts";

const MAX_LENGTH = 512;

/** First match wins: a television calls itself Android or Linux too, a tablet often a mobile. */
const DEVICES: [Device, RegExp][] = [
  ["bot", /bot\b|crawler|spider|slurp|facebookexternalhit|headless|lighthouse/i],
  [
    "tv",
    /apple ?tv|tvos|smart-?tv|smarttv|googletv|android ?tv|hbbtv|netcast|web0s|webos|tizen(?!.*mobile)|roku|aft[a-z]{1,4}\b|bravia|crkey/i,
  ],
  ["tablet", /ipad|tablet|playbook|silk(?!.*mobile)|android(?!.*mobile)/i],
  ["mobile", /iphone|ipod|mobile|android|windows phone/i],
  ["desktop", /macintosh|windows nt|x11|cros|linux/i],
];

/** What a client runs on. */
export function deviceOf(userAgent: string): Device {
  return DEVICES.find(([, pattern]) => pattern.test(userAgent))?.[0] ?? "other";
}

/**
 * One word for a browser and the player inside it: Apple's browsers hand playback to AppleCoreMedia, which asks under a name of its own. An iPad's
 * browser calls itself a Mac's, its player does not, so the two are one word. Any other user agent stands for itself.
 */
export function playerAgentOf(userAgent: string): string {
  if (/iphone|ipod/i.test(userAgent)) return "apple-phone";
  if (/apple ?tv/i.test(userAgent)) return "apple-tv";
  if (/ipad/i.test(userAgent) || (/macintosh/i.test(userAgent) && isAppleEngine(userAgent))) return "apple-screen";
  return userAgent.slice(0, MAX_LENGTH);
}

function isAppleEngine(userAgent: string): boolean {
  return /^AppleCoreMedia\//.test(userAgent) || (/\bSafari\//.test(userAgent) && !/\b(Chrome|Chromium|HeadlessChrome)\//.test(userAgent));
}
