import type { Platform } from "../fakes/platform.ts";

/** Options of `expect.poll` for what takes an encoder some seconds. */
export const until = { timeout: 25_000, interval: 100 };

/** A media playlist's text; empty while there is none. */
export async function playlist(platform: Platform, id: string, rendition = "source"): Promise<string> {
  return fetchText(`${platform.site}/hls/${id}/${rendition}/index.m3u8`);
}

/** The multivariant playlist's text; empty while there is none. */
export async function multivariant(platform: Platform, id: string): Promise<string> {
  return fetchText(`${platform.site}/hls/${id}/index.m3u8`);
}

/** Addresses of the whole segments that a media playlist lists. */
export function segmentsOf(text: string): string[] {
  return text.split("\n").filter((line) => line.endsWith(".m4s"));
}

/** Number of the first and the last segment of a media playlist; null while it lists none. */
export function numbersOf(text: string): { first: number; last: number } | null {
  const count = [...text.matchAll(/#EXTINF:/g)].length;
  const first = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(text)?.[1]);
  return count === 0 ? null : { first, last: first + count - 1 };
}

async function fetchText(url: string): Promise<string> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(5000) });
  return answer.ok ? answer.text() : "";
}
