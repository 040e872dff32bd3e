import { ARCHIVE_PREFIX, archiveKey, type ChainEnd, GENESIS, parseArchive, parseArchiveKey } from "../../domain/audit/archive.ts";
import type { ArchiveObject, ArchiveVerification } from "../../domain/protocol/api/event-feed.ts";
import { sha256Hex } from "../store/digest.ts";

/** What D1 knows of an object of the archive. */
interface ArchiveRow extends ChainEnd {
  number: number;
  first: number;
}

/** A page of the archive: the objects in the bucket, and what D1 knows of the same numbers. */
export interface ArchivePage {
  objects: ArchiveObject[];
  rows: ArchiveRow[];
  hasMore: boolean;
}

/** Objects of the archive after a number, in order. Rejects where D1 or R2 does not answer. */
export async function listArchive(env: Pick<Env, "DB" | "MEDIA">, after: number, limit: number): Promise<ArchivePage> {
  const { objects, truncated } = await env.MEDIA.list({
    prefix: ARCHIVE_PREFIX,
    ...(after > 0 ? { startAfter: archiveKey(after) } : {}),
    include: ["customMetadata"],
    limit,
  });
  const listed = objects.flatMap(describeObject);
  const until = truncated ? (listed.at(-1)?.number ?? after) : Number.MAX_SAFE_INTEGER;
  const { results: rows } = await env.DB.prepare(
    `SELECT number, hash, first_position AS first, last_position AS position FROM archive_objects
     WHERE number > ? AND number <= ? ORDER BY number LIMIT ?`,
  )
    .bind(after, until, limit)
    .all<ArchiveRow>();
  return { objects: listed, rows, hasMore: truncated };
}

/**
 * Proves a page of the archive line by line, going on from the object `after`: that every object is there, holds the chain, and is the one that D1 knows.
 * Null where D1 does not know `after`.
 */
export async function verifyArchive(env: Pick<Env, "DB" | "MEDIA">, after: number, page: ArchivePage): Promise<ArchiveVerification | null> {
  let end = await loadEnd(env.DB, after);
  if (end === null) return null;
  let events = 0;
  const top = Math.max(page.objects.at(-1)?.number ?? after, page.rows.at(-1)?.number ?? after);
  for (let number = after + 1; number <= top; number++) {
    const key = archiveKey(number);
    const broken = (line: number | null, message: string): ArchiveVerification => ({
      state: "broken",
      events,
      problem: { key, line, message },
    });
    const object = await env.MEDIA.get(key);
    if (object === null) return broken(null, "the object is missing");
    const content = await parseArchive(await object.text(), end, sha256Hex);
    if ("problem" in content) return broken(content.line, content.problem);
    const row = page.rows.find((own) => own.number === number);
    if (row !== undefined && row.hash !== content.end.hash) return broken(null, "the object is another one than the database knows");
    end = content.end;
    events += content.ids.length;
  }
  return { state: "intact", events, problem: null };
}

async function loadEnd(db: D1Database, number: number): Promise<ChainEnd | null> {
  if (number === 0) return { hash: GENESIS, position: 0 };
  return db.prepare("SELECT hash, last_position AS position FROM archive_objects WHERE number = ?").bind(number).first<ChainEnd>();
}

function describeObject({ key, customMetadata }: R2Object): ArchiveObject[] {
  const number = parseArchiveKey(key);
  if (number === null) return [];
  const { first, last, count, hash = "" } = customMetadata ?? {};
  return [{ number, key, first_position: Number(first ?? 0), last_position: Number(last ?? 0), count: Number(count ?? 0), hash }];
}
