import type { AuditEvent } from "../protocol/api/audit-events.ts";

/** SHA-256 of a text's UTF-8, lower-case hex, supplied by the platform: domain code has no crypto of its own. */
export type Digest = (text: string) => Promise<string>;

/** What the first line goes on from. */
export const GENESIS = "0".repeat(64);

/** Where the objects of the archive lie. No viewer's route leads here: all of those begin with a proven stream id, which has 24 characters. */
export const ARCHIVE_PREFIX = "audit/events/";

/** An event with its place in the record. */
export interface ArchivedEvent extends AuditEvent {
  position: number;
  recorded_at: string;
}

/** What an object of the archive must go on from: the last hash and the last position before it. */
export interface ChainEnd {
  hash: string;
  position: number;
}

/** What an intact object holds. */
export interface ArchiveContent {
  first: number;
  end: ChainEnd;
  /** Of its events, in order. */
  ids: string[];
}

const HASH_AT_END = /,"hash":"([0-9a-f]{64})"\}$/;

/** Key of the archive's n-th object, from 1. */
export function archiveKey(number: number): string {
  return `${ARCHIVE_PREFIX}${String(number).padStart(10, "0")}.ndjson`;
}

/** The number in a key; null for a key that is none of the archive's. */
export function parseArchiveKey(key: string): number | null {
  const [, digits] = /^audit\/events\/(\d{10})\.ndjson$/.exec(key) ?? [];
  return digits === undefined ? null : Number(digits);
}

/**
 * Events as lines, each bound to the one before: `hash` is that of `prev`, followed by the line as it would be without `,"hash":"…"`.
 * So nothing can be changed, left out or put in without changing every hash after it.
 */
export async function encodeArchive(
  events: readonly ArchivedEvent[],
  prev: string,
  digest: Digest,
): Promise<{ text: string; hash: string }> {
  let hash = prev;
  const lines: string[] = [];
  for (const event of events) {
    const line = JSON.stringify({ ...event, prev: hash });
    hash = await digest(hash + line);
    lines.push(`${line.slice(0, -1)},"hash":"${hash}"}\n`);
  }
  return { text: lines.join(""), hash };
}

/** Reads an object of the archive and proves every line. Where one does not hold: its number from 1, and what is wrong. */
export async function parseArchive(
  text: string,
  after: ChainEnd,
  digest: Digest,
): Promise<ArchiveContent | { line: number; problem: string }> {
  if (!text.endsWith("\n")) return { line: 1, problem: "the object is cut off" };
  const ids: string[] = [];
  let end = after;
  let first: number | null = null;
  for (const [index, line] of text.slice(0, -1).split("\n").entries()) {
    const at = index + 1;
    const [tail, hash] = HASH_AT_END.exec(line) ?? [];
    if (tail === undefined || hash === undefined) return { line: at, problem: "the line has no hash" };
    const bare = `${line.slice(0, -tail.length)}}`;
    const event = parseLine(bare);
    if (event === null) return { line: at, problem: "the line is no event" };
    if (event.prev !== end.hash) return { line: at, problem: "the line does not go on from the hash before it" };
    if ((await digest(end.hash + bare)) !== hash) return { line: at, problem: "the line was changed: it does not have its hash" };
    if (event.position <= end.position) return { line: at, problem: "the line's position is not after the one before" };
    first ??= event.position;
    end = { hash, position: event.position };
    ids.push(event.id);
  }
  return { first: first ?? end.position, end, ids };
}

function parseLine(line: string): { id: string; position: number; prev: string } | null {
  try {
    const event = JSON.parse(line);
    const isEvent = typeof event?.id === "string" && Number.isInteger(event.position) && typeof event.prev === "string";
    return isEvent ? event : null;
  } catch {
    return null;
  }
}
