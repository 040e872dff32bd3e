/** What a `publish` asks for: a stream key, or words for why it can't be. */
export type PublishName = { streamKey: string; backup: boolean } | { refusal: string };

/**
 * Reads the application of `connect` and the name of `publish`. A query stands behind the name (`KEY?backup=1`), or behind the
 * application where an encoder has its server and its key in two fields; of it only `backup=1` counts. The words never repeat the key.
 */
export function parsePublishName(app: unknown, name: string): PublishName {
  const [application, applicationQuery] = typeof app === "string" ? splitQuery(app) : ["", ""];
  if (application.replace(/\/+$/, "") !== "live") return { refusal: "Unknown application: publish to /live." };
  const [streamKey, query] = splitQuery(name);
  if (!/^[A-Za-z0-9_-]{1,256}$/.test(streamKey)) return { refusal: "Invalid stream key." };
  return { streamKey, backup: asksForBackup(query) || asksForBackup(applicationQuery) };
}

function splitQuery(text: string): [before: string, query: string] {
  const at = text.indexOf("?");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function asksForBackup(query: string): boolean {
  return new URLSearchParams(query).get("backup") === "1";
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
