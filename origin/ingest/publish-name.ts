/** What a `publish` asks for: a stream key, or words for why it can't be. */
export type PublishName = { streamKey: string } | { refusal: string };

/** Reads the application of `connect` and the name of `publish`. A query behind the name is dropped; the words never repeat the key. */
export function parsePublishName(app: unknown, name: string): PublishName {
  if (typeof app !== "string" || app.replace(/\/+$/, "") !== "live") return { refusal: "Unknown application: publish to /live." };
  const streamKey = name.split("?", 1)[0] ?? "";
  if (!/^[A-Za-z0-9_-]{1,256}$/.test(streamKey)) return { refusal: "Invalid stream key." };
  return { streamKey };
}

/** What an encoder calls itself, printable and at most 128 characters; null where it says nothing. */
export function parseSoftware(flashVer: unknown): string | null {
  if (typeof flashVer !== "string") return null;
  const printable = flashVer
    .slice(0, 256)
    .replace(/[^\x20-\x7e]/g, "")
    .trim()
    .slice(0, 128);
  return printable === "" ? null : printable;
}
