import type { ClientTarget } from "./audience-client.ts";
import type { MarkedEvent } from "./event-ledger.ts";

/** A part of an audience, and where it connects. */
export interface CrowdTarget {
  target: ClientTarget;
  size: number;
}

/** A server with one audience, and a way to tell it something. */
export interface Hub {
  name: string;
  /** Where an audience of a size connects: one place after another, `size` clients at each. */
  targets(size: number): CrowdTarget[];
  /** Sends everybody a message of about 200 bytes with a mark in it. Rejects where the server does not take it. */
  send(mark: number): Promise<MarkedEvent>;
  /** How many it says are watching; null where it does not say. */
  countViewers: (() => Promise<number>) | null;
  /** Resident memory of the server's processes now, MB. */
  readMemoryMb(): number;
}

/** A hub that can be killed, and started again with what it had written down. */
export interface FragileHub extends Hub {
  /** Kills all of its processes at once; nothing is said to anybody. */
  kill(): void;
  restart(): Promise<void>;
  /** Reads of D1 for sockets that came since the last start; null where there is no D1. */
  countReads: (() => Promise<number>) | null;
}

const PAD = "-".repeat(95);

/** What a hub's messages hold, beside what the platform adds. */
export function markedPayload(mark: number): { mark: number; pad: string } {
  return { mark, pad: PAD };
}

/** The whole frame, for hubs that add nothing. */
export function markedFrame(mark: number): string {
  return JSON.stringify({ event: "timed_metadata", data: { at: new Date().toISOString(), payload: markedPayload(mark) }, seq: mark });
}

/** Asks a server by HTTP, and returns the answer's JSON, or null where it has no body. Rejects where it is no success. */
export async function call(url: string, method = "GET", body?: string, headers: Record<string, string> = {}): Promise<unknown> {
  const answer = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }), signal: AbortSignal.timeout(10_000) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${new URL(url).pathname} was answered ${answer.status}: ${text}`);
  return text.startsWith("{") ? JSON.parse(text) : null;
}
