import { z } from "zod";
import type { IngestLimits } from "./limits.ts";

/** What the ingest process is told, as JSON in its one argument. No secret: arguments are public on a machine. */
export interface ProcessOptions {
  port: number;
  /** null listens on all addresses of the machine. */
  bind: string | null;
  linkPath: string;
  logLevel: string;
  limits: IngestLimits;
}

/** What the ingest process reports over its IPC channel. */
export const ProcessReport = z.discriminatedUnion("type", [
  z.object({ type: z.literal("listening"), port: z.number() }),
  z.object({ type: z.literal("failed"), code: z.string() }),
  z.object({ type: z.literal("alive") }),
]);
export type ProcessReport = z.infer<typeof ProcessReport>;

/** How often a living ingest process reports `alive`, milliseconds. */
export const ALIVE_EVERY_MS = 500;
