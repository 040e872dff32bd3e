/** The stream id in the path of a watch page, `/watch/{id}`; null where there is none. Whether it exists is the server's to say. */
export function parseWatchPath(path: string): string | null {
  return /^\/watch\/([0-9A-Za-z]{8,64})\/?$/.exec(path)?.[1] ?? null;
}

/** The stream id in what somebody pasted: an id, or the address of a watch page. */
export function parsePastedStream(text: string): string | null {
  const trimmed = text.trim();
  const path = URL.canParse(trimmed) ? new URL(trimmed).pathname : `/watch/${trimmed}`;
  return parseWatchPath(path)?.toLowerCase() ?? null;
}
