import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Ingest, type IngestOptions } from "../../../origin/ingest/ingest.ts";
import type { IngestLimits } from "../../../origin/ingest/limits.ts";
import type { Publication } from "../../../origin/ingest/publication.ts";
import type { Log } from "../../../origin/log.ts";
import { type FlvTag, parseFlvTags } from "./flv-tags.ts";

/** A real ingest on a free port, and all that came out of it. */
export interface RunningIngest {
  ingest: Ingest;
  port: number;
  rtmpsPort: number | null;
  log: string[];
  publications: Publication[];
  /** The publication of a stream key, once it is there. */
  publication(streamKey: string): Promise<Publication>;
  /** The tags that came out of a publication up to now. */
  tags(publication: Publication): FlvTag[];
}

/** Starts an ingest. Publications are accepted and read, unless `decide` does otherwise. */
export async function startIngest(
  limits: Partial<IngestLimits> = {},
  decide = acceptAll,
  options: Pick<IngestOptions, "processes" | "rtmps"> = {},
): Promise<RunningIngest> {
  const log: string[] = [];
  const publications: Publication[] = [];
  const media = new Map<Publication, Buffer[]>();
  const ingest = new Ingest({
    rtmpPort: 0,
    bind: "127.0.0.1",
    runDirectory: join(tmpdir(), "ingest-test"),
    log: recordingLog(log),
    logLevel: "error",
    limits,
    ...options,
    onPublication(publication) {
      publications.push(publication);
      const chunks: Buffer[] = [];
      media.set(publication, chunks);
      if (decide(publication) === "read") publication.media.on("data", (bytes: Buffer) => chunks.push(bytes));
    },
  });
  const { port, rtmpsPort } = await ingest.start();
  return {
    ingest,
    port,
    rtmpsPort,
    log,
    publications,
    publication: (streamKey) => eventually(() => publications.findLast((publication) => publication.streamKey === streamKey)),
    tags: (publication) => {
      const flv = Buffer.concat(media.get(publication) ?? []);
      return flv.length === 0 ? [] : parseFlvTags(flv);
    },
  };
}

/** A log that writes its lines to an array: the words, then the fields as JSON. */
export function recordingLog(lines: string[]): Log {
  const note = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };
  return log;
}

function acceptAll(publication: Publication): "read" | "leave" {
  publication.accept();
  return "read";
}

/** Asks until there is an answer; throws after `withinMs`. */
export async function eventually<Value>(ask: () => Value | undefined | null | false, withinMs = 5_000): Promise<Value> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`nothing within ${withinMs} ms: ${ask}`);
    await delay(10);
  }
}

/** Whether a process of this id runs; one that is dead and waits to be reaped does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
