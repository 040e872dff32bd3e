import { pino } from "pino";

/** Where the origin reports what it does: fields first, then words. Stream keys and tokens are never passed to it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** The same log, which adds these fields to every line. */
  child(fields: object): Log;
}

/** Should one be passed all the same, it does not get out. */
const SECRETS = ["token", "stream_key", "streamKey", "lease", "Lease", "authorization", "Authorization", "originToken", "ORIGIN_TOKEN"];
const DEPTHS = ["", "*.", "*.*."];

/** A log of JSON lines on stdout, or where `destination` writes them; `level` is one of pino's, `silent` included. */
export function createLog(level: string, destination?: { write(line: string): void }): Log {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: DEPTHS.flatMap((depth) => SECRETS.map((name) => `${depth}${name}`)), censor: "[redacted]" },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}
