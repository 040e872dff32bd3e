/**
 * Fetches the playlists that a player asks for first, while its code is still on its way: it then finds them in the browser's cache. Media is
 * not fetched: over HTTP/1.1 it would stand in the way of the player's own requests, and gained nothing. Failures are the player's to find.
 */
export async function warmUp(url: string): Promise<void> {
  const answer = await fetch(url);
  if (!answer.ok) return;
  const text = await answer.text();
  await Promise.all(parseMediaPlaylists(text).map(async (path) => (await fetch(new URL(path, answer.url))).text()));
}

/** The media playlists of a multivariant playlist that a player begins with: its first variant and the renditions beside it. */
export function parseMediaPlaylists(multivariant: string): string[] {
  const variant = /^#EXT-X-STREAM-INF:.*\n(?!#)(.+)$/m.exec(multivariant)?.[1];
  const variants = multivariant.match(/^#EXT-X-STREAM-INF:/gm)?.length ?? 0;
  const others = [...multivariant.matchAll(/^#EXT-X-MEDIA:.*URI="([^"]+)"/gm)].map((match) => match[1] as string);
  // Which of several variants a player takes is its own choice.
  return variants === 1 && variant !== undefined ? [variant, ...others] : others;
}
