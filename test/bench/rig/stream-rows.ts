import { createHmac, randomBytes } from "node:crypto";
import { type StreamId, StreamIds } from "../../../domain/stream-id.ts";
import type { OpenDatabase, Statement } from "./open-database.ts";

const DAY_MS = 86_400_000;
const ROWS_PER_STATEMENT = 1_000;
const WORDS =
  "morning evening live concert city council football training launch keynote chess kitchen market harbour festival studio lecture report garden night".split(
    " ",
  );
const TAGS = ["news", "music", "sport", "talk", "education", "games", "travel", "church", "city", "food", "science", "radio"];
/** Cumulative shares: most streams are over or have never begun. */
const STATUSES: readonly (readonly [status: string, upTo: number])[] = [
  ["active", 0.03],
  ["reconnecting", 0.035],
  ["error", 0.05],
  ["pending", 0.4],
  ["completed", 1],
];

/** Has D1 hold so many streams of an account, as if made over the last year: with keys, tags, and what their objects projected. No objects are made. */
export async function fillStreams(database: OpenDatabase, accountId: string, count: number, idSecret: string): Promise<void> {
  const ids = new StreamIds(idSecret, async (secret, data) => createHmac("sha256", secret).update(data).digest());
  const now = Date.now();
  await database.run([
    { sql: "INSERT OR IGNORE INTO accounts (id, name, created_at) VALUES (?, ?, ?)", params: [accountId, accountId, now] },
  ]);
  for (let made = 0; made < count; made += ROWS_PER_STATEMENT) {
    const rows: Row[] = [];
    for (let at = made; at < Math.min(count, made + ROWS_PER_STATEMENT); at++) {
      rows.push(makeRow(await ids.mint((length) => randomBytes(length)), accountId, now));
    }
    await database.run([insert("streams", rows), insert("stream_tags", rows.flatMap(tagRows)), insert("stream_keys", rows.map(keyRow))]);
  }
}

type Row = Record<string, string | number | null>;

function makeRow(id: StreamId, accountId: string, now: number): Row {
  const share = Math.random();
  const status = STATUSES.find(([, upTo]) => share < upTo)?.[0] ?? "completed";
  const createdAt = now - Math.floor(Math.random() * 365 * DAY_MS);
  const isLive = status === "active" || status === "reconnecting";
  const hasBegun = status !== "pending";
  // Few streams have many viewers.
  const viewers = isLive ? Math.floor(1 / (Math.random() + 0.0005)) : 0;
  return {
    ...{
      id,
      account_id: accountId,
      title: phrase(2, 6),
      description: Math.random() < 0.5 ? "" : phrase(8, 30),
      tags: JSON.stringify(pickTags()),
    },
    ...{
      visibility: Math.random() < 0.8 ? "public" : "unlisted",
      latency_mode: "low",
      profile: "passthrough",
      reconnect_window_seconds: 60,
    },
    ...{ part_target: 0.5, dvr_window_seconds: 60, record: Number(Math.random() < 0.3), revision: 1 },
    ...{ created_at: createdAt, updated_at: createdAt, deleted_at: null, reconciled_at: now },
    ...{ version: hasBegun ? 7 : 0, status, broadcast: Number(hasBegun), viewer_count: viewers, peak_viewers: viewers * 2 },
    ...{ started_at: hasBegun ? createdAt + 60_000 : null, ended_at: hasBegun && !isLive ? createdAt + 3_660_000 : null },
    end_reason: status === "completed" ? "unpublished" : null,
  };
}

function tagRows({ account_id, id, tags, created_at }: Row): Row[] {
  const stream = { account_id: account_id ?? null, created_at: created_at ?? 0, stream_id: id ?? null };
  return (JSON.parse(String(tags)) as string[]).map((tag) => ({ ...stream, tag }));
}

function keyRow({ id, created_at }: Row): Row {
  const digest = randomBytes(32).toString("hex");
  return { id: crypto.randomUUID(), stream_id: id ?? null, label: "default", prefix: "nova_00000", digest, created_at: created_at ?? 0 };
}

function pickTags(): string[] {
  const tags = Array.from({ length: Math.floor(Math.random() * 4) }, () => TAGS[Math.floor(Math.random() ** 2 * TAGS.length)] as string);
  return [...new Set(tags)];
}

function phrase(min: number, max: number): string {
  const length = min + Math.floor(Math.random() * (max - min + 1));
  return Array.from({ length }, () => WORDS[Math.floor(Math.random() * WORDS.length)]).join(" ");
}

/** All rows in one statement: a value of its own for each would be too many parameters. */
function insert(table: string, rows: Row[]): Statement {
  const columns = Object.keys(rows[0] ?? {});
  const values = columns.map((column) => `value ->> '$.${column}'`);
  return {
    sql: `INSERT INTO ${table} (${columns.join(", ")}) SELECT ${values.join(", ")} FROM json_each(?)`,
    params: [JSON.stringify(rows)],
  };
}
