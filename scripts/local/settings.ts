import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, statfsSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";

/** A reason not to start, told to the operator in one line. */
export class StartError extends Error {}

const Port = z.coerce.number().int().min(1).max(65535);

/** How this machine reaches what listens on a host: the wildcard addresses by the loopback interface. */
export function localAddress(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
}

/** How a local run is set: from the environment, with sensible defaults. */
export interface LocalSettings {
  host: string;
  port: number;
  rtmpPort: number;
  /** Absolute; holds D1, R2, objects and secrets. */
  dataDir: string;
}

/** Reads `HOST`, `PORT`, `RTMP_PORT` and `DATA_DIR`. Throws a `StartError` that names the variable. */
export function readLocalSettings(env: NodeJS.ProcessEnv): LocalSettings {
  const port = readPort("PORT", env.PORT, 8787);
  const rtmpPort = readPort("RTMP_PORT", env.RTMP_PORT, 1935);
  if (port === rtmpPort) throw new StartError(`PORT and RTMP_PORT are both ${port}: give each a port of its own`);
  return {
    host: env.HOST || "0.0.0.0",
    port,
    rtmpPort,
    dataDir: resolve(env.DATA_DIR || ".data"),
  };
}

/** Secrets of a local run. */
export interface LocalSecrets {
  ID_SECRET: string;
  ORIGIN_TOKENS: string;
  ADMIN_API_KEY: string;
  /** What playback tokens are signed with: a JWK Set. */
  PLAYBACK_KEYS: string;
}

const MIN_FREE_BYTES = 256 << 20;

/** Makes the data directory and checks that it can be written and has room. Throws a `StartError`. */
export function prepareDataDir(dataDir: string): void {
  try {
    makeDirectory(dataDir);
    accessSync(dataDir, constants.W_OK);
  } catch (error) {
    throw new StartError(
      `cannot write to the data directory ${dataDir} (${(error as NodeJS.ErrnoException).code}): set DATA_DIR to one that can be written`,
    );
  }
  const { bavail, bsize } = statfsSync(dataDir);
  if (bavail * bsize < MIN_FREE_BYTES) {
    throw new StartError(
      `less than ${MIN_FREE_BYTES >> 20} MB are free where the data directory ${dataDir} is: make room, or set DATA_DIR elsewhere`,
    );
  }
}

/** The run's secrets: made once, kept in the data directory for its owner only. `ADMIN_API_KEY` in the environment wins. */
export function loadSecrets(dataDir: string, env: NodeJS.ProcessEnv): LocalSecrets {
  const path = join(dataDir, "secrets.json");
  const random = () => randomBytes(24).toString("base64url");
  let kept: Partial<LocalSecrets> = {};
  if (existsSync(path)) {
    try {
      kept = JSON.parse(readFileSync(path, "utf8")) as Partial<LocalSecrets>;
    } catch {
      throw new StartError(
        `${path} is not valid JSON: restore it, or delete it to make new secrets (stream ids and keys made before stop working)`,
      );
    }
  }
  const secrets: LocalSecrets = {
    ID_SECRET: kept.ID_SECRET ?? random(),
    ORIGIN_TOKENS: kept.ORIGIN_TOKENS ?? random(),
    ADMIN_API_KEY: kept.ADMIN_API_KEY ?? `nova_admin_${random()}`,
    PLAYBACK_KEYS: kept.PLAYBACK_KEYS ?? makePlaybackKeys(),
  };
  if (JSON.stringify(secrets) !== JSON.stringify(kept)) {
    // Whole or not at all: a full disk must not take the secrets that there were.
    const temporary = `${path}.${process.pid}`;
    writeFileSync(temporary, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 });
    renameSync(temporary, path);
  }
  return { ...secrets, ADMIN_API_KEY: env.ADMIN_API_KEY || secrets.ADMIN_API_KEY };
}

function makePlaybackKeys(): string {
  return JSON.stringify({ keys: [{ kty: "oct", alg: "HS256", kid: "local", k: randomBytes(32).toString("base64url") }] });
}

/** As `mkdir -p`, one by one: Node's own recursion never ends where the parent cannot hold directories. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

function readPort(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined || text === "") return fallback;
  const port = Port.safeParse(text);
  if (!port.success) throw new StartError(`${name}=${text} is not a port: use a number from 1 to 65535`);
  return port.data;
}
