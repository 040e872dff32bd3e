import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { killOrphans } from "./transcode/orphans.ts";

/** What the origin's parts put there: the ingest's link and each FFmpeg's sockets. */
const OWN = /^(ingest|ff)-[A-Za-z0-9]{6}$/;

/**
 * Makes the directory, for its owner only, and removes what an origin that was killed has left in it, FFmpegs that still run there among it. It
 * belongs to one origin at a time.
 */
export function prepareRunDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const left = readdirSync(path).filter((name) => OWN.test(name));
  killOrphans(left.map((name) => join(path, name)));
  for (const name of left) rmSync(join(path, name), { recursive: true, force: true });
}
