import { z } from "zod";
import type { IngestLimits } from "./limits.ts";

/** What an ingest process is told, as JSON in its one argument. No secret: arguments are public on a machine. */
export interface ProcessOptions {
  linkPath: string;
  logLevel: string;
  limits: IngestLimits;
}

/** A certificate chain and its private key, PEM. */
export const Certificate = z.object({ chain: z.string(), key: z.string() });
export type Certificate = z.infer<typeof Certificate>;

/** What an ingest process is told over its IPC channel. */
export const ProcessOrder = z.discriminatedUnion("type", [
  /** Comes with the encoder's socket. `secure`: TLS is spoken on it. */
  z.object({ type: z.literal("encoder"), id: z.number(), address: z.string(), secure: z.boolean() }),
  z.object({ type: z.literal("certificate"), certificate: Certificate }),
]);
export type ProcessOrder = z.infer<typeof ProcessOrder>;

/** What an ingest process reports over its IPC channel. */
export const ProcessReport = z.discriminatedUnion("type", [
  z.object({ type: z.literal("ready") }),
  z.object({ type: z.literal("alive") }),
  /** The socket of that id has arrived. */
  z.object({ type: z.literal("taken"), id: z.number() }),
  /** The connection of that id is gone. */
  z.object({ type: z.literal("closed"), id: z.number() }),
]);
export type ProcessReport = z.infer<typeof ProcessReport>;

/** How often a living ingest process reports `alive`, milliseconds. */
export const ALIVE_EVERY_MS = 500;
