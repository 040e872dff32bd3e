import {
  type ArchiveContent,
  type ArchivedEvent,
  archiveKey,
  type ChainEnd,
  encodeArchive,
  GENESIS,
  parseArchive,
} from "../../domain/audit/archive.ts";
import type { Millis } from "../../domain/time.ts";
import { sha256Hex } from "../store/digest.ts";
import { loadEvents } from "./event-log.ts";

/** Most lines of an object. */
const LINES = 1_000;
/** Fewer are archived when the first of them was recorded so long ago. */
const PATIENCE_MS: Millis = 10 * 60_000;
/** So many objects are written in one go. */
const MAX_OBJECTS = 10;

/** The last object that D1 knows of; number 0 before the first. */
interface Last extends ChainEnd {
  number: number;
}

/**
 * Writes what is recorded and not archived yet into the next objects of the archive. An object is written once and by one only, whoever else tries; one that
 * D1 does not know of, because its writer died, is read back and proven. Returns how many events have got into the archive. Rejects where D1 or R2 does
 * not answer, and where an object stands in the way that does not go on from the one before.
 */
export async function archiveEvents(env: Pick<Env, "DB" | "MEDIA">, now: Millis): Promise<number> {
  let archived = 0;
  for (let objects = 0; objects < MAX_OBJECTS; objects++) {
    const last = await loadLast(env.DB);
    const events = await loadEvents(env.DB, last.position, LINES);
    const [oldest] = events;
    if (oldest === undefined) break;
    if (events.length < LINES && Date.parse(oldest.recorded_at) > now - PATIENCE_MS) break;
    archived += await writeObject(env, last, events, now);
  }
  return archived;
}

async function loadLast(db: D1Database): Promise<Last> {
  const row = await db
    .prepare("SELECT number, hash, last_position AS position FROM archive_objects ORDER BY number DESC LIMIT 1")
    .first<Last>();
  return row ?? { number: 0, hash: GENESIS, position: 0 };
}

async function writeObject(env: Pick<Env, "DB" | "MEDIA">, last: Last, events: readonly ArchivedEvent[], now: Millis): Promise<number> {
  const key = archiveKey(last.number + 1);
  const { text, hash } = await encodeArchive(events, last.hash, sha256Hex);
  const first = events[0]?.position ?? 0;
  const position = events.at(-1)?.position ?? 0;
  const written = await env.MEDIA.put(key, text, {
    onlyIf: new Headers({ "If-None-Match": "*" }),
    httpMetadata: { contentType: "application/x-ndjson" },
    customMetadata: { first: String(first), last: String(position), count: String(events.length), hash },
  });
  const content = written === null ? await readBack(env.MEDIA, key, last) : { first, end: { hash, position }, ids: [] };
  await register(env.DB, last, key, content, now);
  return written === null ? content.ids.length : events.length;
}

/** What another archiver has written under the key, proven. */
async function readBack(bucket: R2Bucket, key: string, last: Last): Promise<ArchiveContent> {
  const object = await bucket.get(key);
  if (object === null) throw new Error(`${key} was there a moment ago`);
  const content = await parseArchive(await object.text(), last, sha256Hex);
  if ("problem" in content) throw new Error(`${key}, line ${content.line}: ${content.problem}`);
  return content;
}

/**
 * Writes down that an object is there. What D1 has at its positions and it has not (a database restored from a backup has given them again) gets new
 * positions behind it, so that it is archived too.
 */
async function register(db: D1Database, last: Last, key: string, { first, end, ids }: ArchiveContent, now: Millis): Promise<void> {
  const insert = db
    .prepare(
      "INSERT OR IGNORE INTO archive_objects (number, key, first_position, last_position, hash, created_at) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(last.number + 1, key, first, end.position, end.hash, now);
  if (ids.length === 0) {
    await insert.run();
    return;
  }
  const restart = db.prepare("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events'").bind(end.position);
  const move = db
    .prepare(
      `UPDATE events SET position = position - ?1 + (SELECT seq FROM sqlite_sequence WHERE name = 'events')
       WHERE position > ?1 AND position <= ?2 AND id NOT IN (SELECT value FROM json_each(?3))`,
    )
    .bind(last.position, end.position, JSON.stringify(ids));
  await db.batch([restart, move, insert]);
}
