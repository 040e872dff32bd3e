import { fetchBytes } from "./poll.ts";

/** Names of a stream's video renditions in its multivariant playlist, the largest picture first, with their media playlists; empty before there is any. */
export async function fetchVideoRenditions(site: string, streamId: string): Promise<{ name: string; url: string }[]> {
  const multivariant = `${site}/hls/${streamId}/index.m3u8`;
  const text = (await fetchBytes(multivariant))?.toString() ?? "";
  const variants = [...text.matchAll(/^#EXT-X-STREAM-INF:.*RESOLUTION=\d+x(\d+).*\n(\S+)$/gm)];
  return variants
    .sort(([, a], [, b]) => Number(b) - Number(a))
    .map(([, , uri = ""]) => ({ name: uri.split("/").at(-2) ?? "", url: new URL(uri, multivariant).href }));
}
